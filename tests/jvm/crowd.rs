//! Clients of a module's Service who never rest: several at once, a connection for each request, in turn to the addresses
//! that the Service's EndpointSlices have at that moment.
//!
//! They are as good as a proxy has to be and no better. An address is used only if it was in a list that was asked for
//! less than [`FRESH`] ago; with no such list a client waits for one, rather than to use an old one or to skip the
//! address. No request is made twice, and whatever isn't status 200 with an expected body has failed: an empty list too,
//! since nobody could have been asked. Nothing is forgiven at the beginning, so that the Service must be ready before.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{base::get, client::ready_addresses, stage::Stage};

const CLIENTS: usize = 4;
/// Between two requests of one client: together about 300 a second, which leaves two cores time for the JVMs.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks at the EndpointSlices.
const LOOK: Duration = Duration::from_millis(40);
/// How old a list may be that an address is taken from. It must be well below the drain time of the module.
const FRESH: Duration = Duration::from_millis(200);

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// How often each base gave each answer that was expected.
    pub answers: BTreeMap<(IpAddr, String), usize>,
    /// What went wrong, where, and how old the list was.
    pub failures: Vec<String>,
    /// How few and how many addresses there were in a list.
    pub addresses: Option<(usize, usize)>,
    /// The oldest list that was used.
    oldest: Duration,
    /// How often a client had to wait because the list was too old.
    waits: usize,
    slowest: Duration,
}

impl Book {
    /// How many requests were answered as they should be.
    pub fn answered(&self) -> usize {
        self.answers.values().sum()
    }

    /// How many of these answers came, from whichever base.
    pub fn count(&self, answer: &str) -> usize {
        self.answers.iter().filter(|((_, given), _)| given == answer).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, failed) = (self.answered(), self.failures.len());
        write!(f, "{} requests, {failed} failed", answered + failed)?;
        for ((address, answer), count) in &self.answers {
            write!(f, "; {count} times {answer:?} from {address}")?;
        }
        let (fewest, most) = self.addresses.unwrap_or_default();
        write!(f, "; {fewest} to {most} addresses, from lists up to {} ms old", self.oldest.as_millis())?;
        write!(f, " ({} waits for a new one); the slowest answer took {} ms", self.waits, self.slowest.as_millis())
    }
}

/// The addresses, as they were at some time after `asked`.
#[derive(Clone, Debug)]
struct Listed {
    asked: Instant,
    addresses: Vec<IpAddr>,
}

/// The clients at work.
pub struct Crowd {
    book: Arc<Mutex<Book>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Begins to ask for `path`, which should be answered by one of `expected`.
    pub fn start(stage: &Stage, service: &str, path: &str, expected: &[&str]) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let stop = CancellationToken::new();
        let (sender, list) = watch::channel(None);
        let follow = follow(stage.api(), service.to_owned(), sender, Arc::clone(&book));
        let following = stop.clone();
        let mut tasks =
            vec![tokio::spawn(async move { following.run_until_cancelled(follow).await.unwrap_or_default() })];
        let turn = Arc::new(AtomicUsize::new(0));
        for _ in 0..CLIENTS {
            // What one connection is to a proxy is one request here, and nothing is asked for a second time.
            let web = reqwest::Client::builder().timeout(Duration::from_secs(5)).pool_max_idle_per_host(0);
            let web = web.redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()).no_proxy();
            let client = OneOfThem {
                web: web.build().expect("a client"),
                path: path.to_owned(),
                expected: expected.iter().map(ToString::to_string).collect(),
                list: list.clone(),
                turn: Arc::clone(&turn),
                book: Arc::clone(&book),
            };
            tasks.push(tokio::spawn(client.ask_until(stop.clone())));
        }
        Self { book, stop, tasks }
    }

    /// What came so far.
    pub fn so_far(&self) -> Book {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many answers more, to have what was before and after an event in the book too.
    pub async fn answers(&self, stage: &Stage, more: usize) {
        let begin = self.so_far().answered();
        stage
            .eventually(&format!("{more} more answers"), async || {
                (self.so_far().answered() >= begin + more).then_some(())
            })
            .await;
    }

    /// Ends it; requests that have begun are waited for, and count.
    pub async fn stop(self) -> Book {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no client panics");
        }
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks for the EndpointSlices again and again. An error leaves the old list, which the clients don't use for long.
async fn follow(api: Api<EndpointSlice>, service: String, list: watch::Sender<Option<Listed>>, book: Arc<Mutex<Book>>) {
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    loop {
        let asked = Instant::now();
        if let Ok(slices) = api.list(&of_service).await {
            let addresses: Vec<IpAddr> = slices.iter().flat_map(ready_addresses).collect();
            let count = addresses.len();
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            let (fewest, most) = book.addresses.unwrap_or((count, count));
            book.addresses = Some((fewest.min(count), most.max(count)));
            list.send_replace(Some(Listed { asked, addresses }));
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct OneOfThem {
    web: reqwest::Client,
    path: String,
    expected: Vec<String>,
    list: watch::Receiver<Option<Listed>>,
    turn: Arc<AtomicUsize>,
    book: Arc<Mutex<Book>>,
}

impl OneOfThem {
    async fn ask_until(mut self, stop: CancellationToken) {
        while let Some(Some(listed)) = stop.run_until_cancelled(self.fresh()).await {
            self.ask(&listed).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A list that may be used, or nothing when there will be no more.
    async fn fresh(&mut self) -> Option<Listed> {
        loop {
            let listed = self.list.borrow_and_update().clone();
            if let Some(listed) = listed {
                if listed.asked.elapsed() < FRESH {
                    return Some(listed);
                }
                self.book().waits += 1;
            }
            self.list.changed().await.ok()?;
        }
    }

    async fn ask(&self, listed: &Listed) {
        let began = Instant::now();
        let age = began.duration_since(listed.asked);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(address) = listed.addresses.get(turn % listed.addresses.len().max(1)) else {
            self.book().failures.push("the Service has no address".to_owned());
            return;
        };
        let answer = get(&self.web, &format!("http://{address}:8080{}", self.path)).await;
        let mut book = self.book();
        book.oldest = book.oldest.max(age);
        book.slowest = book.slowest.max(began.elapsed());
        let wrong = match answer {
            Ok(answer) if self.expected.contains(&answer) => {
                *book.answers.entry((*address, answer)).or_default() += 1;
                return;
            }
            Ok(answer) => format!("answered {answer:?}"),
            Err(why) => why,
        };
        // Who is to blame: a list that has lost the address by now was late, one that still has it was wrong.
        let now = self.list.borrow().as_ref().map(|now| (now.asked.elapsed(), now.addresses.clone()));
        let took = began.elapsed();
        book.failures.push(format!("{address}: {wrong}; after {took:?}, by a list {age:?} old; the list now: {now:?}"));
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
