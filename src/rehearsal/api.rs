//! The API server as a rehearsal sees it: questions reach the real one, writes never do.
//!
//! A write is answered from the [`Store`], and the watches that are open are told of it as if it had happened, so that the
//! controllers go on as they would. What isn't a GET has no way through: there is one place that sends, and it refuses.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE},
};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::store::{Answer, Key, Store, Write};

/// Longest body of a write (bytes); the API server's own limit is 3 MiB.
const LONGEST: usize = 4 << 20;

/// Everything that happened in a rehearsal.
pub struct Book {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: Store,
    watches: Vec<Watch>,
    begun: BTreeSet<String>,
    events: Vec<Value>,
    trouble: Option<String>,
    last: Option<Instant>,
}

struct Watch {
    group: String,
    plural: String,
    namespace: String,
    selector: String,
    lines: UnboundedSender<Bytes>,
}

impl Book {
    /// Nothing has happened.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened: the rehearsal isn't at its end.
    pub fn touch(&self) {
        self.state().last = Some(Instant::now());
    }

    /// When something last happened.
    pub fn last(&self) -> Option<Instant> {
        self.state().last
    }

    /// Why what was seen isn't to be relied on.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Reads what was written.
    pub fn read<R>(&self, look: impl FnOnce(&Store, &[Value]) -> R) -> R {
        let state = self.state();
        look(&state.store, &state.events)
    }

    /// A client whose writes end here.
    pub fn client(self: &Arc<Self>, real: &Client) -> Client {
        let (book, real) = (Arc::clone(self), real.clone());
        let namespace = real.default_namespace().to_owned();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (book, real) = (Arc::clone(&book), real.clone());
            async move { book.serve(&real, request).await }
        });
        Client::new(service, namespace)
    }

    async fn serve(&self, real: &Client, request: Request<kube::client::Body>) -> kube::Result<Response<Body>> {
        let Some(place) = Place::of(request.uri().path(), request.uri().query().unwrap_or_default()) else {
            return if request.method() == Method::GET { ask(real, request).await } else { Ok(refused()) };
        };
        if request.method() != Method::GET {
            return Ok(self.write(real, request, place).await);
        }
        if place.name.is_empty() {
            return self.collection(real, request, place).await;
        }
        let known = self.state().store.get(&place.key()).map(|now| now.cloned());
        match known {
            Some(Some(object)) => Ok(reply(200, &object)),
            Some(None) => Ok(reply(404, &not_found(&place))),
            None => ask(real, request).await,
        }
    }

    /// A list is the real one; a watch is the real one with what is written here in between.
    async fn collection(
        &self,
        real: &Client,
        request: Request<kube::client::Body>,
        place: Place,
    ) -> kube::Result<Response<Body>> {
        let what = format!("{} of {}", if place.watch { "watch" } else { "list" }, place.plural);
        let again = place.watch && !self.state().begun.insert(request.uri().path().to_owned() + &place.selector);
        let answer = ask(real, request).await;
        let mut state = self.state();
        match &answer {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => _ = state.trouble.get_or_insert(format!("{what}: {}", response.status())),
            Err(error) => _ = state.trouble.get_or_insert(format!("{what}: {error}")),
        }
        if again {
            state.trouble.get_or_insert(format!("the {what} broke off; begin again"));
        }
        if !place.watch {
            return answer;
        }
        let (lines, written) = unbounded_channel();
        let Place { group, plural, namespace, selector, .. } = place;
        state.watches.push(Watch { group, plural, namespace, selector, lines });
        drop(state);
        answer.map(|response| response.map(|body| woven(body, written)))
    }

    async fn write(&self, real: &Client, request: Request<kube::client::Body>, place: Place) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LONGEST).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        self.touch();
        if place.plural == "events" {
            self.state().events.push(body.clone());
            return reply(201, &body);
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let Some((key, write)) = place.order(&head.method, kind, body) else { return refused() };
        let unknown = self.state().store.get(&key).is_none();
        let stands = if unknown { standing(real, &place, &key).await } else { Ok(None) };
        let stands = match stands {
            Ok(stands) => stands,
            Err(error) => {
                let message = format!("{} {}: {error}", key.plural, key.name);
                self.state().trouble.get_or_insert(message.clone());
                return reply(500, &json!({ "kind": "Status", "status": "Failure", "message": message, "code": 500 }));
            }
        };
        let mut state = self.state();
        let Answer { code, body, event } = state.store.write(&key, stands, write);
        if let Some((word, object)) = event {
            state.tell(&key, word, &object);
        }
        reply(code, &body)
    }
}

impl State {
    /// Tells the watches that see an object.
    fn tell(&mut self, key: &Key, word: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({ "type": word, "object": object })));
        let sees = |watch: &Watch| {
            watch.group == key.group
                && watch.plural == key.plural
                && (watch.namespace.is_empty() || watch.namespace == key.namespace)
                && selects(&watch.selector, object)
        };
        self.watches.retain(|watch| !sees(watch) || watch.lines.send(line.clone()).is_ok());
    }
}

/// Whether a selector of equalities and existences picks an object; other forms are taken to.
fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once('=') {
        _ if term.contains(['!', ' ', '(']) => true,
        Some((key, value)) => labels[key] == *value.trim_start_matches('='),
        None => !labels[term].is_null(),
    })
}

/// The only place from which anything goes to the real API server.
async fn ask(real: &Client, request: Request<kube::client::Body>) -> kube::Result<Response<Body>> {
    if request.method() != Method::GET {
        return Ok(refused());
    }
    Ok(real.send(request).await?.map(Body::new))
}

/// The object as it stands in the cluster.
async fn standing(real: &Client, place: &Place, key: &Key) -> Result<Option<Value>, String> {
    let path = format!("{}/{}", place.collection, key.name);
    let request = Request::get(path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
    let answer = ask(real, request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), LONGEST).await.map_err(|error| error.to_string())?;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => serde_json::from_slice(&body).map(Some).map_err(|error| error.to_string()),
        status => Err(status.to_string()),
    }
}

fn reply(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}

fn refused() -> Response<Body> {
    reply(
        405,
        &json!({ "kind": "Status", "status": "Failure", "reason": "MethodNotAllowed", "message": "a rehearsal writes nothing", "code": 405 }),
    )
}

fn not_found(place: &Place) -> Value {
    let message = format!("{} {:?} not found", place.plural, place.name);
    json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "message": message, "code": 404 })
}

/// The lines of a real watch, and between them those of the rehearsal; ends with the real one.
fn woven(real: Body, written: UnboundedReceiver<Bytes>) -> Body {
    let begin = (real.into_data_stream(), written, Vec::new());
    Body::from_stream(stream::unfold(begin, |(mut real, mut written, mut rest)| async move {
        loop {
            tokio::select! {
                biased;
                chunk = real.next() => match chunk {
                    Some(Ok(chunk)) => {
                        rest.extend_from_slice(&chunk);
                        // Whole lines only: nothing may come into the middle of one.
                        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
                            let left = rest.split_off(end + 1);
                            return Some((Ok(Bytes::from(rest)), (real, written, left)));
                        }
                    }
                    Some(Err(error)) => return Some((Err(error), (real, written, rest))),
                    None => return None,
                },
                Some(line) = written.recv() => return Some((Ok(line), (real, written, rest))),
            }
        }
    }))
}

/// What a request is about.
struct Place {
    collection: String,
    group: String,
    plural: String,
    namespace: String,
    name: String,
    subresource: String,
    watch: bool,
    selector: String,
}

impl Place {
    /// Reads `/api/v1/...` and `/apis/<group>/<version>/...`.
    fn of(path: &str, query: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => String::new(),
            "apis" => parts.next()?.to_owned(),
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = *rest.first()?;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let parameter = |name: &str| {
            let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
            found.map(|(_, value)| decoded(value)).unwrap_or_default()
        };
        Some(Self {
            collection: format!("{root}{within}/{plural}"),
            group,
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: rest.get(1).copied().unwrap_or_default().to_owned(),
            subresource: rest.get(2).copied().unwrap_or_default().to_owned(),
            watch: parameter("watch") == "true",
            selector: parameter("labelSelector"),
        })
    }

    fn key(&self) -> Key {
        let Self { group, plural, namespace, name, .. } = self;
        Key { group: group.clone(), plural: plural.clone(), namespace: namespace.clone(), name: name.clone() }
    }

    /// The write that a request asks for; `None` for what the controllers never do.
    fn order(&self, method: &Method, content: &str, body: Value) -> Option<(Key, Write)> {
        let status = self.subresource == "status";
        let mut key = self.key();
        let write = match *method {
            Method::POST if self.name.is_empty() => {
                body["metadata"]["name"].as_str()?.clone_into(&mut key.name);
                Write::Create(body)
            }
            Method::PATCH if status || self.subresource.is_empty() => {
                Write::Patch { status, by_type: content.contains("strategic"), patch: body }
            }
            Method::PUT if self.subresource.is_empty() => Write::Replace(body),
            Method::DELETE if !self.name.is_empty() => {
                Write::Delete(body["preconditions"]["uid"].as_str().map(str::to_owned))
            }
            _ => return None,
        };
        Some((key, write))
    }
}

/// The bytes that `%XX` stands for, and the space of `+`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
