//! Tokens to a model.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use bytes::Bytes;
use rten_shape_inference::SymbolGen;

use super::lex::{Token, error_at, is_special_float, tokens};
use super::wire;
use crate::error::{Error, Result};
use crate::graph::{Function, Graph, Model, Node, Value, ValueId};

/// How deep graphs and types may be nested.
const DEPTH: usize = 64;

/// The model that `text` spells.
///
/// # Errors
/// [`Kind::Unreadable`](crate::error::Kind::Unreadable) with line and column: when the syntax is
/// broken, a name is used that nothing defines, or a name has two definitions.
pub fn parse(text: &str) -> Result<Model> {
    let mut parser = Parser::new(text)?;
    let mut model = Model::default();
    if parser.eat('<') {
        parser.header(&mut model)?;
    }
    model.graph = parser.whole_graph()?;
    while !matches!(parser.peek(), Token::End) {
        model.functions.push(parser.function()?);
    }
    Ok(model)
}

/// The graph that `text` spells.
///
/// # Errors
/// As [`parse`].
pub fn parse_graph(text: &str) -> Result<Graph> {
    let mut parser = Parser::new(text)?;
    let graph = parser.whole_graph()?;
    match parser.peek() {
        Token::End => Ok(graph),
        _ => Err(parser.expected("the end of the text")),
    }
}

/// A name that a graph uses and does not define, and where.
pub(super) type Free = (String, usize);

/// A reader of tokens; places are indices of tokens.
pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token<'a>, usize)>,
    next: usize,
    depth: usize,
    /// The sizes that `?` stands for.
    pub(super) symbols: SymbolGen,
    /// What the subgraphs of the node being read take from the graph around.
    pub(super) free: Vec<Free>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let tokens = tokens(text)?;
        let symbols = SymbolGen::with_prefix("?".into());
        Ok(Self { text, tokens, next: 0, depth: 0, symbols, free: Vec::new() })
    }

    pub(super) fn peek(&self) -> &Token<'a> {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> &Token<'a> {
        self.tokens.get(self.next + count).map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn here(&self) -> usize {
        self.next
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// A failure at the token `at`.
    pub(super) fn wrong(&self, at: usize, what: impl Display) -> Error {
        let offset = self.tokens.get(at).map_or(self.text.len(), |(_, offset)| *offset);
        error_at(self.text, offset, what)
    }

    /// A failure at the next token, which is not what was expected.
    pub(super) fn expected(&self, what: impl Display) -> Error {
        match self.peek() {
            Token::Elided => self
                .wrong(self.next, "data was left out where this text was printed")
                .help("print the model in full to read it back"),
            found => self.wrong(self.next, format!("expected {what}, found {found}")),
        }
    }

    pub(super) fn eat(&mut self, mark: char) -> bool {
        let found = *self.peek() == Token::Mark(mark);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: char) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(format!("'{mark}'"))) }
    }

    fn arrow(&mut self) -> Result<()> {
        match self.peek() {
            Token::Arrow => {
                self.advance();
                Ok(())
            }
            _ => Err(self.expected("'=>'")),
        }
    }

    /// A name, quoted or not.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(word) => {
                let word = (*word).to_owned();
                self.advance();
                Ok(word)
            }
            _ => self.quoted(what),
        }
    }

    /// A quoted string.
    pub(super) fn quoted(&mut self, what: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.advance();
                Ok(text)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A whole number that fits the type asked for.
    pub(super) fn integer<T: std::str::FromStr>(&mut self, what: &str) -> Result<T> {
        let number = match *self.peek() {
            Token::Int(digits) => digits.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected(what))?;
        self.advance();
        Ok(number)
    }

    /// A number, rounded once from its decimal digits.
    pub(super) fn float(&mut self, what: &str) -> Result<f32> {
        let value = self.digits().and_then(|digits| digits.parse::<f32>().ok());
        self.finite(value, value.is_some_and(f32::is_infinite), what)
    }

    /// A number in double precision.
    pub(super) fn double(&mut self, what: &str) -> Result<f64> {
        let value = self.digits().and_then(|digits| digits.parse::<f64>().ok());
        self.finite(value, value.is_some_and(f64::is_infinite), what)
    }

    fn digits(&self) -> Option<&'a str> {
        match *self.peek() {
            Token::Int(digits) | Token::Float(digits) => Some(digits),
            Token::Word(word) if is_special_float(word) => Some(word),
            _ => None,
        }
    }

    /// Takes the number, unless digits overflowed to an infinity.
    fn finite<T>(&mut self, value: Option<T>, infinite: bool, what: &str) -> Result<T> {
        let value = value.ok_or_else(|| self.expected(what))?;
        if infinite && self.digits().is_some_and(|text| text.contains(|c: char| c.is_ascii_digit()))
        {
            return Err(self.wrong(self.next, "this number is too large for its type"));
        }
        self.advance();
        Ok(value)
    }

    /// Items with commas between, up to and with `close`.
    pub(super) fn list<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.eat(',') {
                break;
            }
        }
        if self.eat(close) {
            return Ok(items);
        }
        Err(self.expected(format!("',' or '{close}'")))
    }

    /// Runs `read` one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH {
            let what = format!("graphs and types are nested more than {DEPTH} deep");
            return Err(self.wrong(self.next, what));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn header(&mut self, model: &mut Model) -> Result<()> {
        let mut carry = Vec::new();
        self.list('>', |parser| {
            let at = parser.here();
            let key = parser.name("a key such as ir_version")?;
            parser.expect(':')?;
            match key.as_str() {
                "ir_version" => model.ir_version = parser.integer("a whole number")?,
                "opset_import" => model.opsets = parser.opsets()?,
                "metadata_props" => model.metadata = parser.metadata()?,
                "producer_name" => carry.extend(parser.carried_text(2)?),
                "producer_version" => carry.extend(parser.carried_text(3)?),
                "domain" => carry.extend(parser.carried_text(4)?),
                "model_version" => carry.extend(wire::number(5, parser.integer("a whole number")?)),
                "doc_string" => carry.extend(parser.carried_text(6)?),
                _ => return Err(parser.wrong(at, format!("a model has no key '{key}'"))),
            }
            Ok(())
        })?;
        model.carry = carry.into();
        Ok(())
    }

    fn carried_text(&mut self, tag: u32) -> Result<Vec<u8>> {
        Ok(wire::field(tag, self.quoted("a string in quotes")?.as_bytes()))
    }

    fn opsets(&mut self) -> Result<BTreeMap<String, i64>> {
        self.expect('[')?;
        let list = self.list(']', |parser| {
            let domain = parser.quoted("a domain in quotes")?;
            parser.expect(':')?;
            Ok((domain, parser.integer("a version")?))
        })?;
        Ok(list.into_iter().collect())
    }

    fn metadata(&mut self) -> Result<Vec<(String, String)>> {
        self.expect('[')?;
        self.list(']', |parser| {
            let key = parser.quoted("a key in quotes")?;
            parser.expect(':')?;
            Ok((key, parser.quoted("a string in quotes")?))
        })
    }

    fn function(&mut self) -> Result<Function> {
        let (mut domain, mut overload, mut opsets) = Default::default();
        let mut carry = Vec::new();
        if self.eat('<') {
            self.list('>', |parser| {
                let at = parser.here();
                let key = parser.name("a key such as domain")?;
                parser.expect(':')?;
                match key.as_str() {
                    "domain" => domain = parser.quoted("a domain in quotes")?,
                    "overload" => overload = parser.quoted("an overload in quotes")?,
                    "opset_import" => opsets = parser.opsets()?,
                    "doc_string" => carry.extend(parser.carried_text(8)?),
                    _ => return Err(parser.wrong(at, format!("a function has no key '{key}'"))),
                }
                Ok(())
            })?;
        }
        let name = self.name("the name of a function")?;
        let (mut attributes, mut defaults) = (Vec::new(), Vec::new());
        if self.eat('<') {
            self.list('>', |parser| {
                if matches!(parser.ahead(1), Token::Mark(':' | '=')) {
                    defaults.push(parser.attribute()?);
                } else {
                    attributes.push(parser.name("the name of an attribute")?);
                }
                Ok(())
            })?;
        }
        let (body, free) = self.graph(name.clone())?;
        self.no_free(&free)?;
        let carry = carry.into();
        Ok(Function { domain, name, overload, opsets, attributes, defaults, body, carry })
    }

    fn whole_graph(&mut self) -> Result<Graph> {
        let name = self.name("the name of a graph")?;
        let (graph, free) = self.graph(name)?;
        self.no_free(&free)?;
        Ok(graph)
    }

    fn no_free(&self, free: &[Free]) -> Result<()> {
        match free.iter().min_by_key(|(_, at)| *at) {
            None => Ok(()),
            Some((name, at)) => Err(self
                .wrong(*at, "nothing defines this name")
                .value(name)
                .help("declare it as an input, give it data, or let a node produce it")),
        }
    }

    /// A graph behind its name, and the names it takes from the graph around.
    pub(super) fn graph(&mut self, name: String) -> Result<(Graph, Vec<Free>)> {
        self.nested(|parser| {
            let mut build = Build { graph: Graph::new(name), mentions: HashMap::new() };
            if parser.eat('(') {
                parser.list(')', |p| {
                    let id = p.declared(&mut build)?;
                    if build.graph.inputs.contains(&id) {
                        return Err(p.wrong(p.here(), "two inputs have this name"));
                    }
                    build.graph.inputs.push(id);
                    Ok(())
                })?;
            }
            parser.arrow()?;
            parser.expect('(')?;
            build.graph.outputs = parser.list(')', |p| p.declared(&mut build))?;
            if parser.eat('<') {
                parser.list('>', |p| p.declared(&mut build))?;
            }
            parser.expect('{')?;
            while !parser.eat('}') {
                parser.node(&mut build)?;
            }
            Ok(build.finish())
        })
    }

    /// A type, a name and data, each but the name optional.
    fn declared(&mut self, build: &mut Build) -> Result<ValueId> {
        let at = self.here();
        let typ = if self.at_type() { Some(self.typ()?) } else { None };
        let name_at = self.here();
        let name = self.name("a name, or a type and a name")?;
        let id = build.value(name, name_at)?;
        if let Some(typ) = &typ {
            typ.declare(build.graph.value_mut(id));
        }
        if self.eat('=') {
            let typ = typ.ok_or_else(|| self.wrong(at, "a constant needs a type"))?;
            let tensor = self.tensor(&typ, at)?;
            if build.graph.value_mut(id).tensor.replace(tensor.into()).is_some() {
                return Err(self.wrong(name_at, "this name has data already"));
            }
        }
        Ok(id)
    }

    fn node(&mut self, build: &mut Build) -> Result<()> {
        let mut node = Node::default();
        if self.eat('[') && !self.eat(']') {
            node.name = self.name("the name of a node")?;
            self.expect(']')?;
        }
        let at = self.here();
        let outputs = self.names()?;
        if !self.eat('=') {
            return Err(self.expected("a node or '}'"));
        }
        node.op = self.name("an operator")?;
        while self.eat('.') {
            let op = self.name("an operator behind its domain")?;
            let part = std::mem::replace(&mut node.op, op);
            let dot = if node.domain.is_empty() { "" } else { "." };
            node.domain = format!("{}{dot}{part}", node.domain);
        }
        if self.eat(':') {
            node.overload = self.name("an overload")?;
        }
        let around = std::mem::take(&mut self.free);
        node.attributes = self.attributes()?;
        self.expect('(')?;
        let inputs = self.names()?;
        self.expect(')')?;
        if node.attributes.is_empty() {
            node.attributes = self.attributes()?;
        }
        let free = std::mem::replace(&mut self.free, around);
        node.inputs = build.values(inputs)?;
        node.outputs = build.values(outputs)?;
        node.captures =
            build.values(free.into_iter().map(Some).collect())?.into_iter().flatten().collect();
        node.captures.sort_unstable();
        node.captures.dedup();
        for &id in node.outputs.iter().flatten() {
            let value = build.graph.value(id);
            if value.tensor.is_some() || build.graph.inputs.contains(&id) {
                let what = "a node produces an input or a constant";
                return Err(self.wrong(at, what).value(&value.name));
            }
        }
        build.graph.add_node(node).map(drop).map_err(|mut error| {
            error.what = self.wrong(at, &error.what).what;
            error
        })
    }

    /// Names with commas between; an empty one stands for a value that is left out.
    fn names(&mut self) -> Result<Vec<Option<Free>>> {
        let mut names = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Text(_) => {
                    let at = self.here();
                    let name = self.name("a name")?;
                    names.push(Some((name, at)).filter(|(name, _)| !name.is_empty()));
                }
                Token::Mark(',') => names.push(None),
                _ => return Ok(names),
            }
            if !self.eat(',') {
                return Ok(names);
            }
        }
    }
}

/// A graph being built, and where each of its values is mentioned first.
struct Build {
    graph: Graph,
    mentions: HashMap<ValueId, usize>,
}

impl Build {
    /// The value called `name`, added where it is new.
    fn value(&mut self, name: String, at: usize) -> Result<ValueId> {
        if let Some(id) = self.graph.find(&name) {
            return Ok(id);
        }
        let id = self.graph.add_value(Value::new(name))?;
        self.mentions.insert(id, at);
        Ok(id)
    }

    fn values(&mut self, names: Vec<Option<Free>>) -> Result<Vec<Option<ValueId>>> {
        names.into_iter().map(|n| n.map(|(name, at)| self.value(name, at)).transpose()).collect()
    }

    fn finish(self) -> (Graph, Vec<Free>) {
        let free = self.graph.free_values();
        let place = |id| self.mentions.get(id).copied().unwrap_or_default();
        let free = free.iter().map(|id| (self.graph.value(*id).name.clone(), place(id))).collect();
        (self.graph, free)
    }
}

/// Nothing carried along.
pub(super) const NONE: Bytes = Bytes::new();
