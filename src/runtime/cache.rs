//! What is known of one kind of object: the watch's store, and over it this process's own newer writes.
//!
//! A reconcile must never act on a view that is older than what it wrote itself (KEP-5647's rule). So every answer
//! to a write is kept until the watch has caught up with it, and a Module that is being created is known from before
//! the request leaves: two replica sets can't take one place in between.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{Stream, StreamExt};
use kube::{
    Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::watch_health::WatchHealth;

/// Something happened to an object.
#[derive(Debug)]
pub enum Change<K> {
    /// It exists, as it stands in the cache now.
    Applied(Arc<K>),
    /// It is gone; this is the last that was known of it.
    Deleted(Arc<K>),
}

/// A kind that can be cached: a namespaced or cluster-wide object with static type information.
pub trait Kind: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Kind for K {}

/// The objects of one kind.
pub struct Cache<K: Kind> {
    store: Store<K>,
    /// Newer than the store, until the watch catches up.
    recent: RwLock<HashMap<ObjectRef<K>, Arc<K>>>,
    /// The newest version that the watch has shown of any object: what is as old and not in the store is gone.
    shown: AtomicU64,
    /// Whether the first list has been read to its end, and every object of it told.
    complete: watch::Sender<bool>,
    /// Drops what nobody reads of this kind.
    drop_unread: fn(&mut K),
}

impl<K: Kind> Cache<K> {
    /// A cache and the writer that its watch needs. Whatever comes in, by the watch or as the answer to an own write,
    /// is kept without what nobody reads.
    pub fn new(drop_unread: fn(&mut K)) -> (Arc<Self>, Writer<K>) {
        let (store, writer) = kube::runtime::reflector::store();
        let (shown, complete) = (AtomicU64::new(0), watch::Sender::new(false));
        (Arc::new(Self { store, recent: RwLock::default(), shown, complete, drop_unread }), writer)
    }

    fn strip(&self, object: &mut K) {
        object.meta_mut().managed_fields = None;
        (self.drop_unread)(object);
    }

    /// The watch's store.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Whether the first list has been read to its end and every object of it told.
    pub fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Waits until the first list has been read to its end and every object of it told. The store's own
    /// `wait_until_ready` isn't enough: it ends before what is built over the store, such as an index, has heard of the
    /// objects, and whoever plans then takes what isn't indexed yet for gone.
    pub async fn completed(&self) {
        // The sender lives as long as `self`.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The newest that is known of an object.
    pub fn get(&self, key: &ObjectRef<K>) -> Option<Arc<K>> {
        self.get_bare(&bare(key))
    }

    /// The newest that is known of an object, by namespace and name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_bare(&ObjectRef::new(name).within(namespace))
    }

    /// The newest that is known of an object, by a key without UID and version.
    pub fn get_bare(&self, key: &ObjectRef<K>) -> Option<Arc<K>> {
        let watched = self.store.get(key);
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match (watched, recent) {
            (Some(watched), Some(recent)) if is_as_new(&*recent, &*watched) => Some(recent),
            (Some(watched), _) => Some(watched),
            (None, recent) => recent,
        }
    }

    /// All objects, the newest known of each, those that are only known from own writes included.
    pub fn all(&self) -> Vec<Arc<K>> {
        let mut recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<Arc<K>> = self.store.state();
        if recent.is_empty() {
            return all;
        }
        for object in &mut all {
            if let Some(own) = recent.remove(&bare(&ObjectRef::from_obj(&**object)))
                && is_as_new(&*own, &**object)
            {
                *object = own;
            }
        }
        all.extend(recent.into_values());
        all
    }

    /// Remembers an object that is about to be created, or was just now, unless the watch has shown its end meanwhile.
    pub fn put_new(&self, object: Arc<K>) {
        let key = bare(&ObjectRef::from_obj(&*object));
        // The end of an object takes it out of the store first and out of `recent` then, under this lock.
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let created = version(&*object);
        let is_gone = created > 0 && created <= self.shown.load(Ordering::Relaxed) && self.store.get(&key).is_none();
        if !is_gone {
            recent.insert(key, object);
        }
    }

    /// Objects that were created by this process and that no watch has shown yet.
    fn unseen(&self) -> HashMap<ObjectRef<K>, Arc<K>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let unseen = recent.iter().filter(|(key, object)| version(&***object) > 0 && self.store.get(*key).is_none());
        unseen.map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
    }

    /// Remembers the answer to an own write, unless something newer is known already (answers overtake each other), or the
    /// watch has shown the object's end meanwhile.
    pub fn put(&self, mut object: K) {
        self.strip(&mut object);
        let key = bare(&ObjectRef::from_obj(&object));
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        // The end of an object takes it out of the store first and out of `recent` then, under this lock.
        let known = recent.get(&key).cloned().or_else(|| self.store.get(&key));
        if known.is_some_and(|known| !is_ahead(&*known, &object)) {
            recent.insert(key, Arc::new(object));
        }
    }

    /// Forgets what was remembered: the creation failed, or the object is gone.
    pub fn forget(&self, key: &ObjectRef<K>) {
        self.recent.write().unwrap_or_else(PoisonError::into_inner).remove(&bare(key));
    }

    /// Drops an own write that the watch has caught up with.
    fn caught_up(&self, watched: &K) {
        self.shown.fetch_max(version(watched), Ordering::Relaxed);
        let key = bare(&ObjectRef::from_obj(watched));
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if recent.get(&key).is_some_and(|recent| !is_ahead(&**recent, watched)) {
            recent.remove(&key);
        }
    }
}

/// The key without UID and version, as the store keeps it.
fn bare<K: Kind>(key: &ObjectRef<K>) -> ObjectRef<K> {
    let plain = ObjectRef::new(&key.name);
    match &key.namespace {
        Some(namespace) => plain.within(namespace),
        None => plain,
    }
}

/// Whether `own` says more than `other`: it was written later, or it was ordered to end and `other` doesn't say so yet.
fn is_ahead<K: Kind>(own: &K, other: &K) -> bool {
    version(own) > version(other) || is_ending_unlike(own, other)
}

/// Whether `own` isn't behind what the watch has shown. The answer to the patch that takes the last finalizer off has the
/// version from before: the object isn't written again, but gone.
fn is_as_new<K: Kind>(own: &K, watched: &K) -> bool {
    version(own) >= version(watched) || is_ending_unlike(own, watched)
}

/// Nothing that was ordered to end is ever alive again, whatever an older answer or event says.
fn is_ending_unlike<K: Kind>(own: &K, other: &K) -> bool {
    let (own, other) = (own.meta(), other.meta());
    own.uid == other.uid && own.deletion_timestamp.is_some() && other.deletion_timestamp.is_none()
}

/// Resource versions grow with time in etcd (KEP-5504); an object that isn't created yet has none and is older than
/// anything.
fn version<K: Kind>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Follows a watch until `stop`: keeps `cache` up to date and tells every change, including objects that vanished
/// while the watch was broken.
pub async fn follow<K: Kind>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    cache: Arc<Cache<K>>,
    writer: Writer<K>,
    health: WatchHealth,
    on_change: impl Fn(Change<K>),
) {
    let stripping = Arc::clone(&cache);
    let events = events.default_backoff().modify(move |object| stripping.strip(object)).reflect(writer);
    let mut events = std::pin::pin!(events);
    // Objects known before the current relist began.
    let mut before: HashMap<ObjectRef<K>, Arc<K>> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                // What was created by then is on the list, or gone.
                before = cache.unseen();
                before.extend(cache.store.state().into_iter().map(|object| (ObjectRef::from_obj(&*object), object)));
            }
            Ok(watcher::Event::InitApply(_)) => {}
            Ok(watcher::Event::InitDone) => {
                for object in cache.store.state() {
                    before.remove(&ObjectRef::from_obj(&*object));
                    cache.caught_up(&object);
                    on_change(Change::Applied(object));
                }
                for (key, object) in before.drain() {
                    cache.forget(&key);
                    on_change(Change::Deleted(object));
                }
                cache.complete.send_replace(true);
            }
            Ok(watcher::Event::Apply(object)) => {
                cache.caught_up(&object);
                on_change(Change::Applied(Arc::new(object)));
            }
            Ok(watcher::Event::Delete(object)) => {
                cache.shown.fetch_max(version(&object), Ordering::Relaxed);
                cache.forget(&ObjectRef::from_obj(&object));
                on_change(Change::Deleted(Arc::new(object)));
            }
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch failed, trying again");
                health.failed();
                continue;
            }
        }
        health.succeeded();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Module;

    fn module(version: u32, ending: bool) -> Module {
        let mut module: Module = serde_json::from_value(serde_json::json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "Module", "spec": {},
            "metadata": {"name": "m", "namespace": "n", "uid": "u", "resourceVersion": version.to_string()},
        }))
        .expect("a Module");
        module.metadata.deletion_timestamp = ending.then(|| super::super::clock::timestamp(0));
        module
    }

    fn seen(cache: &Cache<Module>) -> Option<(String, bool)> {
        let module = cache.named("n", "m")?;
        Some((module.resource_version()?, module.metadata.deletion_timestamp.is_some()))
    }

    #[test]
    fn an_answer_that_was_overtaken_says_nothing() {
        let (cache, mut writer) = Cache::new(|_| {});
        writer.apply_watcher_event(&watcher::Event::Apply(module(5, false)));
        cache.put(module(7, true));
        cache.put(module(6, false));
        assert_eq!(seen(&cache), Some(("7".to_owned(), true)));
    }

    #[test]
    fn what_was_ordered_to_end_is_never_alive_again() {
        let (cache, mut writer) = Cache::new(|_| {});
        writer.apply_watcher_event(&watcher::Event::Apply(module(5, false)));
        // Ordered by this process, and not yet by the API server.
        cache.put(module(5, true));
        cache.put(module(6, false));
        assert_eq!(seen(&cache), Some(("5".to_owned(), true)));
        let event = module(6, false);
        writer.apply_watcher_event(&watcher::Event::Apply(event.clone()));
        cache.caught_up(&event);
        assert!(seen(&cache).is_some_and(|(_, ending)| ending));
        // The order failed.
        cache.forget(&ObjectRef::from_obj(&event));
        assert_eq!(seen(&cache), Some(("6".to_owned(), false)));
    }

    #[tokio::test]
    async fn the_first_list_is_complete_when_every_object_of_it_was_told() {
        let (cache, writer) = Cache::new(|_| {});
        let list = [watcher::Event::Init, watcher::Event::InitApply(module(5, false)), watcher::Event::InitDone];
        let told = std::sync::Mutex::new(Vec::new());
        let on_change = |_| told.lock().expect("told").push(cache.is_complete());
        let events = futures::stream::iter(list.map(Ok));
        follow(events, Arc::clone(&cache), writer, WatchHealth::default(), on_change).await;
        assert_eq!(*told.lock().expect("told"), [false], "objects told, and whether the list was complete then");
        cache.completed().await;
        assert!(cache.is_complete());
    }

    #[test]
    fn nothing_is_remembered_of_what_is_gone() {
        let (cache, mut writer) = Cache::new(|_| {});
        writer.apply_watcher_event(&watcher::Event::Apply(module(5, false)));
        cache.put(module(6, true));
        writer.apply_watcher_event(&watcher::Event::Delete(module(6, true)));
        cache.forget(&ObjectRef::from_obj(&module(6, true)));
        cache.put(module(7, true));
        assert_eq!(seen(&cache), None);
    }

    #[tokio::test]
    async fn what_was_created_and_is_not_on_the_next_list_is_gone() {
        let (cache, writer) = Cache::new(|_| {});
        // Created just now; the watch breaks before it shows that, and somebody deletes it meanwhile.
        cache.put_new(Arc::new(module(5, false)));
        let mut to_come = module(0, false);
        (to_come.metadata.name, to_come.metadata.resource_version) = (Some("to-come".to_owned()), None);
        cache.put_new(Arc::new(to_come));
        let told = std::sync::Mutex::new(Vec::new());
        let on_change = |change: Change<Module>| {
            let Change::Deleted(module) = change else { return };
            told.lock().expect("told").push(module.name_any());
        };
        let events = futures::stream::iter([watcher::Event::Init, watcher::Event::InitDone].map(Ok));
        follow(events, Arc::clone(&cache), writer, WatchHealth::default(), on_change).await;
        assert_eq!(seen(&cache), None);
        assert_eq!(*told.lock().expect("told"), ["m"]);
        assert!(cache.named("n", "to-come").is_some(), "its creation is under way");
    }

    #[tokio::test]
    async fn the_answer_to_a_creation_may_come_after_the_end() {
        let (cache, writer) = Cache::new(|_| {});
        let events = [
            watcher::Event::Init,
            watcher::Event::InitDone,
            watcher::Event::Apply(module(5, false)),
            watcher::Event::Delete(module(6, false)),
        ];
        let events = futures::stream::iter(events.map(Ok));
        follow(events, Arc::clone(&cache), writer, WatchHealth::default(), |_| ()).await;
        cache.put_new(Arc::new(module(5, false)));
        assert_eq!(seen(&cache), None);
        cache.put_new(Arc::new(module(7, false)));
        assert_eq!(seen(&cache), Some(("7".to_owned(), false)), "another of its name");
    }
}
