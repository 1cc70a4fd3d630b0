//! A message with every field of the schema set, by an independent reader's reflection.

use std::collections::BTreeSet;

use protobuf::descriptor::FileDescriptorSet;
use protobuf::reflect::{
    FieldDescriptor, FileDescriptor, MessageDescriptor, ReflectValueBox, RuntimeFieldType,
    RuntimeType,
};
use protobuf::{Message, MessageDyn};

/// The schema that the crate was built from.
pub fn schema() -> FileDescriptor {
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/onnx.descriptors"));
    let set = FileDescriptorSet::parse_from_bytes(bytes).unwrap();
    FileDescriptor::new_dynamic(set.file.into_iter().next().unwrap(), &[]).unwrap()
}

/// Fills messages so that they make a loadable model, and notes every field set.
#[derive(Default)]
pub struct Filler {
    count: i64,
    depth: usize,
    pub seen: BTreeSet<String>,
}

/// The fields of an attribute that hold its value, with the number of their kind.
const KINDS: [(&str, i32); 14] = [
    ("f", 1),
    ("i", 2),
    ("s", 3),
    ("t", 4),
    ("g", 5),
    ("floats", 6),
    ("ints", 7),
    ("strings", 8),
    ("tensors", 9),
    ("graphs", 10),
    ("sparse_tensor", 11),
    ("sparse_tensors", 12),
    ("tp", 13),
    ("type_protos", 14),
];

impl Filler {
    /// A message with every field set, of a oneof and of an attribute the one `variant` picks.
    pub fn fill(&mut self, kind: &MessageDescriptor, variant: usize) -> Box<dyn MessageDyn> {
        let mut message = kind.new_instance();
        self.depth += 1;
        for field in kind.fields() {
            if self.skips(kind, &field, variant) {
                continue;
            }
            self.seen.insert(format!("{}.{}", kind.full_name(), field.name()));
            match field.runtime_field_type() {
                RuntimeFieldType::Singular(runtime) => {
                    let value = self.value(kind, &field, &runtime, variant);
                    field.set_singular_field(&mut *message, value);
                }
                RuntimeFieldType::Repeated(runtime) => {
                    for variant in 0..self.repeats(kind, &field) {
                        let value = self.value(kind, &field, &runtime, variant);
                        field.mut_repeated(&mut *message).push(value);
                    }
                }
                RuntimeFieldType::Map(..) => panic!("the schema has no maps"),
            }
        }
        self.depth -= 1;
        message
    }

    fn skips(&self, kind: &MessageDescriptor, field: &FieldDescriptor, variant: usize) -> bool {
        let (nested, deep) = (self.depth > 4, self.depth > 8);
        match (kind.name(), field.name()) {
            ("AttributeProto", "name" | "doc_string" | "type") => false,
            // The variant past the kinds refers to the caller's attribute, the next sets it all.
            ("AttributeProto", "ref_attr_name") => variant != KINDS.len(),
            ("AttributeProto", name) => {
                let own = KINDS.get(variant).is_some_and(|(field, _)| *field == name);
                !own && variant <= KINDS.len() || nested && matches!(name, "g" | "graphs")
            }
            ("Sequence" | "Optional", "elem_type") | ("Map", "value_type") => deep,

            _ => field.containing_oneof().is_some_and(|oneof| {
                let fields: Vec<_> = oneof.fields().collect();
                fields[variant % fields.len()].number() != field.number()
            }),
        }
    }

    fn repeats(&self, kind: &MessageDescriptor, field: &FieldDescriptor) -> usize {
        match (kind.name(), field.name()) {
            // One element, as `raw_data` has.
            ("TensorProto" | "SparseTensorProto", "dims") => 1,
            ("NodeProto", "attribute") | ("FunctionProto", "attribute_proto") => KINDS.len() + 2,
            ("GraphProto", "input" | "value_info") => 6,
            ("GraphProto", "output") => 1,
            ("FunctionProto", "input" | "output") => 1,
            _ => 2,
        }
    }

    fn value(
        &mut self,
        kind: &MessageDescriptor,
        field: &FieldDescriptor,
        runtime: &RuntimeType,
        variant: usize,
    ) -> ReflectValueBox {
        self.count += 1;
        let number = match (kind.name(), field.name()) {
            ("TensorProto" | "SparseTensorProto", "dims") => 1,
            ("TensorProto", "data_type") | (_, "elem_type") => 1,
            _ => self.count,
        };
        let text = match (kind.name(), field.name(), variant) {
            ("NodeProto", "input", _) | ("FunctionProto", "input" | "output", _) => "x".into(),
            _ => format!("{}{}", field.name(), self.count),
        };
        match runtime {
            RuntimeType::I32 => ReflectValueBox::I32(number as i32),
            RuntimeType::I64 => ReflectValueBox::I64(number),
            RuntimeType::U64 => ReflectValueBox::U64(number as u64),
            RuntimeType::F32 => ReflectValueBox::F32(number as f32),
            RuntimeType::F64 => ReflectValueBox::F64(number as f64),
            RuntimeType::String => ReflectValueBox::String(text),
            RuntimeType::VecU8 => ReflectValueBox::Bytes((number as u32).to_le_bytes().to_vec()),
            RuntimeType::Enum(kinds) => {
                let number = match kinds.name() {
                    "AttributeType" => KINDS.get(variant).map_or(1, |&(_, number)| number),
                    _ => 0,
                };
                ReflectValueBox::Enum(kinds.clone(), number)
            }
            RuntimeType::Message(inner) => {
                let mut message = self.fill(inner, variant);
                let first = kind.name() == "GraphProto" && variant == 0;
                if first && matches!(field.name(), "input" | "output") {
                    // The one name every node uses, the graph's own and at the same time outer.
                    let name = inner.field_by_name("name").unwrap();
                    name.set_singular_field(&mut *message, ReflectValueBox::String("x".into()));
                }
                ReflectValueBox::Message(message)
            }
            other => panic!("the schema has no field of type {other:?}"),
        }
    }
}

/// Every field of every message in the schema.
pub fn every_field(schema: &FileDescriptor) -> BTreeSet<String> {
    fn visit(kind: MessageDescriptor, fields: &mut BTreeSet<String>) {
        fields.extend(kind.fields().map(|f| format!("{}.{}", kind.full_name(), f.name())));
        kind.nested_messages().for_each(|inner| visit(inner, fields));
    }
    let mut fields = BTreeSet::new();
    schema.messages().for_each(|kind| visit(kind, &mut fields));
    fields
}
