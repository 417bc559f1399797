//! From a YAML or JSON text to its documents.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Content, Field, Node, Position, scalar};

/// How deep a manifest may be nested; ours need about ten.
const DEPTH_MAX: usize = 100;
/// How many values a file may have with its aliases carried out: a few lines of aliases could ask for billions.
const VALUES_MAX: usize = 1_000_000;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it holds.
    pub root: Node,
    /// What is wrong with it as YAML, and yet can be read: fields that stand twice.
    pub problems: Vec<Problem>,
}

/// Something that is no YAML, or none that `kubectl` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What is wrong; what to change.
    pub message: String,
}

/// All documents of a text that aren't empty. JSON is YAML, so both are read here.
///
/// # Errors
///
/// The first place where the text is no YAML.
pub fn read(text: &str) -> Result<Vec<Document>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let (mut documents, mut builder) = (Vec::new(), Builder::default());
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Problem {
            at: position(*error.marker()),
            message: format!("no YAML: {}", error.info()),
        })?;
        if event == Event::DocumentEnd {
            let Builder { root, problems, .. } = std::mem::take(&mut builder);
            documents.extend(root.filter(|root| root.content != Content::Null).map(|root| Document { root, problems }));
        } else {
            builder.take(event, span)?;
        }
    }
    Ok(documents)
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn problem<T>(at: Position, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { at, message: message.into() })
}

/// A list or an object that isn't closed yet.
struct Open {
    at: Position,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    Items(Vec<Node>),
    /// The fields, the name that waits for its value, and what is merged into them when all are known.
    Fields(Vec<Field>, Option<Key>, Vec<Node>),
}

/// A field's name.
struct Key {
    name: String,
    at: Position,
    /// Whether it is `<<`, which merges another object.
    merges: bool,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// What anchors stand for, with the number of values in it.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = position(span.start);
        match event {
            Event::SequenceStart(anchor, _) => self.begin(at, anchor, Inside::Items(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(at, anchor, Inside::Fields(Vec::new(), None, Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar_node(at, &text, style, tag.as_deref());
                self.anchored(anchor, &node);
                self.count(at, 1)?;
                self.put(node)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return problem(at, "an alias stands for itself; write the value out");
                };
                self.count(at, size)?;
                self.put(node)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, inside: Inside) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            return problem(at, format!("nested deeper than {DEPTH_MAX} levels; no manifest is"));
        }
        self.count(at, 1)?;
        self.open.push(Open { at, anchor, inside });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(Open { at, anchor, inside }) = self.open.pop() else { return Ok(()) };
        let content = match inside {
            Inside::Items(items) => Content::List(items),
            Inside::Fields(mut fields, _, merged) => {
                merged.iter().try_for_each(|from| merge(&mut fields, from))?;
                Content::Fields(fields)
            }
        };
        let node = Node { at, content, plain: None };
        self.anchored(anchor, &node);
        self.put(node)
    }

    fn count(&mut self, at: Position, values: usize) -> Result<(), Problem> {
        self.values += values;
        if self.values > VALUES_MAX {
            return problem(
                at,
                format!("more than {VALUES_MAX} values with all aliases carried out; write a smaller file"),
            );
        }
        Ok(())
    }

    fn anchored(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size(node)));
        }
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::Items(items)) => items.push(node),
            Some(Inside::Fields(_, waiting @ None, _)) => *waiting = Some(key(&node)?),
            Some(Inside::Fields(fields, waiting, merged)) => {
                let Some(Key { name, at, merges }) = waiting.take() else { return Ok(()) };
                if merges {
                    merged.push(node);
                } else if let Some(former) = fields.iter_mut().find(|field| field.name == name) {
                    let first = former.at.line;
                    let message = format!(
                        "field {name:?} stands twice and the last one counts; take one away (the first is in line {first})"
                    );
                    self.problems.push(Problem { at, message });
                    *former = Field { name, at, node };
                } else {
                    fields.push(Field { name, at, node });
                }
            }
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    let inner: usize = node.items().iter().map(size).sum();
    inner + node.fields().iter().map(|field| size(&field.node)).sum::<usize>() + 1
}

fn scalar_node(at: Position, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Node {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    if style == ScalarStyle::Plain && core != Some("str") {
        return Node { at, content: scalar::plain(text), plain: Some(text.to_owned()) };
    }
    Node { at, content: Content::Text(text.to_owned()), plain: None }
}

fn key(node: &Node) -> Result<Key, Problem> {
    match (&node.plain, &node.content) {
        (Some(plain), _) => Ok(Key { name: plain.clone(), at: node.at, merges: plain == "<<" }),
        (None, Content::Text(text)) => Ok(Key { name: text.clone(), at: node.at, merges: false }),
        _ => problem(node.at, "the name of a field is no text; write a word"),
    }
}

/// `<<`: the fields of other objects, where there are none of that name.
fn merge(fields: &mut Vec<Field>, from: &Node) -> Result<(), Problem> {
    let sources = if from.items().is_empty() { std::slice::from_ref(from) } else { from.items() };
    for source in sources {
        if !matches!(source.content, Content::Fields(_)) {
            return problem(source.at, "<< takes an object, or a list of them");
        }
        for field in source.fields() {
            if fields.iter().all(|own| own.name != field.name) {
                fields.push(field.clone());
            }
        }
    }
    Ok(())
}
