//! Manifests with the place of everything in them: what a user wrote, as `kubectl` would read it, and where.
//!
//! Serde's YAML readers forget where a value stood, and a message without a line is half a message. This tree is read
//! once and answers both questions: which JSON is it, and where does this field stand. Pure: files are the caller's.

mod read;
mod scalar;

use serde_json::{Map, Number, Value};

pub use self::read::{Document, Problem, read};

/// A place in a text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub content: Content,
    /// How it was written, where it is a scalar without quotes: `1.0` is a number only because nobody quoted it.
    pub plain: Option<String>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`, and what YAML 1.1 reads as that.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Fields, in their order; no name twice.
    Fields(Vec<Field>),
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Position,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The field `name`; null is as good as absent, as for the API server.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.name == name && field.node.content != Content::Null)
    }

    /// The fields, if it has any.
    pub fn fields(&self) -> &[Field] {
        match &self.content {
            Content::Fields(fields) => fields,
            _ => &[],
        }
    }

    /// The items, if it is a list.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The node at a path of field names.
    pub fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| Some(&node.field(name)?.node))
    }

    /// Where the field at the dotted `path` stands; where it doesn't exist, the nearest one above it.
    pub fn place(&self, path: &str) -> Position {
        let (mut node, mut at) = (self, self.at);
        for name in path.split('.') {
            let Some(field) = node.field(name) else { break };
            (node, at) = (&field.node, field.at);
        }
        at
    }

    /// The JSON that the API server gets.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(bool) => Value::Bool(*bool),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Node::json).collect()),
            Content::Fields(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), field.node.json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests;
