//! Attributes.

use bytes::Bytes;

use super::lex::{Token, is_special_float};
use super::parse::{NONE, Parser};
use super::tensor::Type;
use super::wire;
use crate::error::Result;
use crate::graph::{Attr, Attribute};

/// The kinds of attributes with the numbers ONNX gives them: one, its list, and their names.
const KINDS: [(i32, i32, &str, &str); 7] = [
    (1, 6, "float", "floats"),
    (2, 7, "int", "ints"),
    (3, 8, "string", "strings"),
    (4, 9, "tensor", "tensors"),
    (5, 10, "graph", "graphs"),
    (11, 12, "sparse_tensor", "sparse_tensors"),
    (13, 14, "type_proto", "type_protos"),
];

/// The name of the kind that ONNX numbers `kind`.
pub(super) fn kind_name(kind: i32) -> Option<&'static str> {
    KINDS.iter().find_map(|&(one, many, name, names)| match kind {
        _ if kind == one => Some(name),
        _ if kind == many => Some(names),
        _ => None,
    })
}

fn kind_of_name(word: &str) -> Option<i32> {
    KINDS.iter().find_map(|&(one, many, name, names)| match word {
        _ if word == name => Some(one),
        _ if word == names => Some(many),
        _ => None,
    })
}

fn item_kind(kind: i32) -> i32 {
    KINDS.iter().find(|k| k.1 == kind).map_or(kind, |k| k.0)
}

/// The number ONNX gives the kind of `attr`; 0 for a reference of unknown kind.
pub(super) fn kind_of(attr: &Attr) -> i32 {
    match attr {
        Attr::Float(_) => 1,
        Attr::Int(_) => 2,
        Attr::String(_) => 3,
        Attr::Tensor(_) => 4,
        Attr::Graph(_) => 5,
        Attr::Floats(_) => 6,
        Attr::Ints(_) => 7,
        Attr::Strings(_) => 8,
        Attr::Tensors(_) => 9,
        Attr::Graphs(_) => 10,
        Attr::Reference { kind, .. } | Attr::Opaque { kind, .. } => *kind,
    }
}

impl Parser<'_> {
    /// Attributes in angle brackets, or none.
    pub(super) fn attributes(&mut self) -> Result<Vec<Attribute>> {
        if self.eat('<') { self.list('>', Self::attribute) } else { Ok(Vec::new()) }
    }

    /// `name = value` or `name: kind = value`.
    pub(super) fn attribute(&mut self) -> Result<Attribute> {
        let name = self.name("the name of an attribute")?;
        let mut kind = 0;
        if self.eat(':') {
            kind = match *self.peek() {
                Token::Word(word) => kind_of_name(word).unwrap_or_default(),
                _ => 0,
            };
            if kind == 0 {
                return Err(self.expected("a kind of attribute such as float or ints"));
            }
            self.advance();
        }
        self.expect('=')?;
        let value = if self.eat('[') { self.values(kind)? } else { self.value(kind)? };
        Ok(Attribute { name, value, carry: NONE })
    }

    /// The items of a list; the first decides the kind where none is given.
    fn values(&mut self, kind: i32) -> Result<Attr> {
        let at = self.here();
        let mut item = item_kind(kind);
        let items = self.list(']', |parser| {
            let at = parser.here();
            let value = parser.value(item)?;
            if matches!(value, Attr::Reference { .. }) {
                return Err(parser.wrong(at, "a list has no references"));
            }
            item = kind_of(&value);
            Ok(value)
        })?;
        if items.is_empty() && item == kind {
            let what = "an empty list needs its kind, as in 'axes: ints = []'";
            return Err(self.wrong(at, what));
        }
        Ok(gather(item, items))
    }

    /// One value, of `kind` unless that is 0.
    fn value(&mut self, kind: i32) -> Result<Attr> {
        let at = self.here();
        let value = match self.peek().clone() {
            Token::Mark('@') => {
                self.advance();
                let name = self.name("the name of an attribute of the function")?;
                return Ok(Attr::Reference { name, kind });
            }
            Token::Word(_) if self.at_type() => self.typed()?,
            Token::Word(word) if !is_special_float(word) => self.subgraph()?,
            Token::Text(_) if matches!(self.ahead(1), Token::Mark('(') | Token::Arrow) => {
                self.subgraph()?
            }
            Token::Text(text) => {
                self.advance();
                Attr::String(Bytes::from(text))
            }
            Token::Int(_) if kind != 1 => Attr::Int(self.integer("an integer of 64 bits")?),
            _ => Attr::Float(self.float("the value of an attribute")?),
        };
        match kind {
            _ if kind == 0 || kind == kind_of(&value) => Ok(value),
            _ => {
                let [wish, found] = [kind, kind_of(&value)].map(|k| kind_name(k).unwrap_or("?"));
                Err(self.wrong(at, format!("expected a value of kind {wish}, found {found}")))
            }
        }
    }

    /// A tensor, which may have a name, or a type alone.
    fn typed(&mut self) -> Result<Attr> {
        let at = self.here();
        let typ = self.typ()?;
        let name = match self.peek() {
            Token::Word(_) | Token::Text(_) => self.name("the name of a tensor")?,
            Token::Mark('{' | '=' | '[') | Token::Elided => String::new(),
            _ => return Ok(type_attr(&typ)),
        };
        self.eat('=');
        let mut tensor = self.tensor(&typ, at)?;
        if !name.is_empty() {
            tensor.carry = wire::field(8, name.as_bytes()).into();
        }
        Ok(Attr::Tensor(tensor))
    }

    fn subgraph(&mut self) -> Result<Attr> {
        let name = self.name("the name of a graph")?;
        let (graph, free) = self.graph(name)?;
        self.free.extend(free);
        Ok(Attr::Graph(Box::new(graph)))
    }
}

fn type_attr(typ: &Type) -> Attr {
    Attr::Opaque { kind: 13, fields: wire::field(14, &typ.encode()).into() }
}

/// One list of `items`, which are all of kind `item`.
fn gather(item: i32, items: Vec<Attr>) -> Attr {
    macro_rules! list {
        ($one:ident, $many:ident) => {
            Attr::$many(items.into_iter().filter_map(pick!($one)).collect())
        };
    }
    macro_rules! pick {
        ($one:ident) => {
            |attr| match attr {
                Attr::$one(value) => Some(value),
                _ => None,
            }
        };
    }
    match item {
        1 => list!(Float, Floats),
        2 => list!(Int, Ints),
        3 => list!(String, Strings),
        4 => list!(Tensor, Tensors),
        5 => {
            let graphs = items.into_iter().filter_map(pick!(Graph));
            Attr::Graphs(graphs.map(|graph| *graph).collect())
        }
        _ => {
            let types = items.into_iter().filter_map(|attr| match attr {
                Attr::Opaque { fields, .. } => wire::find(&fields, 14).map(|t| t.bytes().to_vec()),
                _ => None,
            });
            let fields: Vec<u8> = types.flat_map(|typ| wire::field(15, &typ)).collect();
            Attr::Opaque { kind: if item == 11 { 12 } else { 14 }, fields: fields.into() }
        }
    }
}
