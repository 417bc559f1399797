//! The shell around [`plan_lease`]: calls with a time limit, pauses, and the life of the leader's work.
//!
//! Three clocks matter. Our leadership counts from when the last successful write was *sent*; others count
//! from when they *saw* it, which is later; so with a deadline shorter than the lease we have stopped before
//! they start. A write without an answer proves nothing and is followed by a look.
//!
//! Must not: decide anything about the lease (that is [`plan_lease`]), or give the lease back while work
//! that was started under it may still run.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::plan::{self, Loss, Memory, Record, Step, plan_lease};
use super::store::{LeaseStore, StoreError};
use super::{LeaseConfig, Outcome};

/// Pause before looking again after a conflict or a call that used up the retry period: short, because the
/// renew deadline is running, but no busy loop.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// How often a release is tried against conflicts and errors before the lease is left to run out.
const RELEASE_TRIES: u32 = 3;

/// What one round of look, plan and write came to.
#[derive(Debug, PartialEq)]
enum Attempt {
    Leading,
    Waiting { until: Instant },
    Conflict,
    Failed,
    Lost(Loss),
}

/// How the time as a leader ended.
enum Held {
    Ended,
    Stuck,
    Lost(Loss),
}

pub(super) struct Elector<S> {
    cfg: LeaseConfig,
    store: S,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    memory: Memory,
    /// The Lease as our last successful write returned it: good for one write without another look.
    fresh: Option<Lease>,
    /// A write was sent and nothing is known about it: the Lease may carry our name.
    unsure: bool,
    /// The last failure that was logged, so that a repeated one isn't.
    complained: Option<String>,
}

impl<S: LeaseStore> Elector<S> {
    pub(super) fn new(cfg: LeaseConfig, store: S, wall: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { cfg, store, wall, memory: Memory::default(), fresh: None, unsure: false, complained: None }
    }

    /// Waits for leadership, runs `lead` under it, cleans up.
    pub(super) async fn run<F, Fut>(mut self, stop: CancellationToken, lead: F) -> Outcome
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = ()>,
    {
        let leading = tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = self.acquire() => !stop.is_cancelled(),
        };
        if !leading {
            if self.unsure || self.memory.renewed_at.is_some() {
                self.release().await;
            }
            return Outcome::NeverLed;
        }
        info!(identity = %self.cfg.identity, lease = %self.cfg.name, "became the leader");
        let token = CancellationToken::new();
        // The work ends even if the caller drops this future.
        let _guard = token.clone().drop_guard();
        match self.hold(&stop, &token, lead(token.clone())).await {
            Held::Ended => {
                let released = self.release().await;
                if stop.is_cancelled() { Outcome::Stopped { released } } else { Outcome::Ended { released } }
            }
            Held::Stuck => {
                warn!("the leader's work did not end in time; the lease is left to run out");
                Outcome::Stopped { released: false }
            }
            Held::Lost(loss) => {
                warn!(?loss, "lost the leadership");
                Outcome::Lost(loss)
            }
        }
    }

    /// Returns once this process holds the lease.
    async fn acquire(&mut self) {
        loop {
            let pause = match self.attempt().await {
                Attempt::Leading => return,
                Attempt::Waiting { until } => {
                    until.saturating_duration_since(Instant::now()).clamp(SHORT_PAUSE, self.cfg.timing.retry)
                }
                Attempt::Conflict => SHORT_PAUSE,
                Attempt::Failed | Attempt::Lost(_) => self.cfg.timing.retry,
            };
            sleep(pause).await;
        }
    }

    /// Runs the leader's work beside the renewals. On a stop the renewals go on until the work has ended,
    /// so that a long wind-down is still covered by the lease.
    async fn hold<Fut: Future<Output = ()>>(
        &mut self,
        stop: &CancellationToken,
        token: &CancellationToken,
        work: Fut,
    ) -> Held {
        let stop_grace = self.cfg.stop_grace;
        let mut work = pin!(work);
        let held = {
            let mut renewals = pin!(self.renew_until_lost());
            let mut give_up: Option<Instant> = None;
            loop {
                tokio::select! {
                    biased;
                    loss = &mut renewals => break Held::Lost(loss),
                    () = &mut work => break Held::Ended,
                    () = stop.cancelled(), if give_up.is_none() => {
                        token.cancel();
                        give_up = Some(Instant::now() + stop_grace);
                    }
                    () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => break Held::Stuck,
                }
            }
        };
        token.cancel();
        if let Held::Lost(loss) = &held
            && timeout_at(self.last_moment(loss), &mut work).await.is_err()
        {
            warn!("the leader's work did not end with the leadership and is dropped");
        }
        held
    }

    /// Until when work may wind down after a loss. After a missed deadline the lease still keeps others out
    /// for a while, and half a retry period is kept as a margin; otherwise somebody else may lead already.
    fn last_moment(&self, loss: &Loss) -> Instant {
        let now = Instant::now();
        match (loss, self.memory.renewed_at) {
            (Loss::Deadline, Some(at)) => (at + self.cfg.timing.lease - self.cfg.timing.retry / 2).max(now),
            _ => now,
        }
    }

    async fn renew_until_lost(&mut self) -> Loss {
        let timing = self.cfg.timing;
        let mut next = Instant::now() + timing.retry;
        loop {
            let Some(renewed_at) = self.memory.renewed_at else {
                return Loss::Deadline;
            };
            let deadline = renewed_at + timing.renew_deadline;
            sleep_until(next.min(deadline)).await;
            let started = Instant::now();
            // A call that fails at once is ready before any timer, so the timer below isn't enough.
            if started >= deadline {
                return Loss::Deadline;
            }
            let soon = match timeout_at(deadline, self.attempt()).await {
                Err(_) => return Loss::Deadline,
                Ok(Attempt::Lost(loss)) => return loss,
                Ok(Attempt::Conflict) => true,
                Ok(Attempt::Leading | Attempt::Waiting { .. } | Attempt::Failed) => false,
            };
            let earliest = Instant::now() + SHORT_PAUSE;
            next = if soon { earliest } else { earliest.max(started + timing.retry) };
        }
    }

    /// One round: look (unless our own last write is the newest we know of), plan, write.
    async fn attempt(&mut self) -> Attempt {
        let observed = match self.fresh.take() {
            Some(lease) => Some(lease),
            None => match within(self.call_limit(), self.store.get()).await {
                Ok(observed) => observed,
                Err(error) => return self.failed("read", error),
            },
        };
        let record = observed.as_ref().map(Record::of);
        let now = Instant::now();
        self.memory.note(record.as_ref(), now);
        let step = plan_lease(record.as_ref(), &self.memory, now, &self.cfg.identity, &self.cfg.timing);
        let (cfg, wall) = (&self.cfg, (self.wall)());
        match (step, observed) {
            (Step::Wait { until, holder }, _) => {
                debug!(%holder, "waiting for the lease");
                Attempt::Waiting { until }
            }
            (Step::Lost(loss), _) => Attempt::Lost(loss),
            (Step::Replace(claim), Some(current)) => {
                let lease = plan::build_claim(&current, claim, &cfg.identity, wall, &cfg.timing);
                self.write(&lease, false).await
            }
            (Step::Create | Step::Replace(_), _) => {
                let lease = plan::build_new(&cfg.namespace, &cfg.name, &cfg.identity, wall, &cfg.timing);
                self.write(&lease, true).await
            }
        }
    }

    async fn write(&mut self, lease: &Lease, create: bool) -> Attempt {
        let sent = Instant::now();
        let unsure_before = std::mem::replace(&mut self.unsure, true);
        let limit = self.call_limit();
        let answer = if create {
            within(limit, self.store.create(lease)).await
        } else {
            within(limit, self.store.replace(lease)).await
        };
        match answer {
            Ok(written) => {
                self.unsure = false;
                self.fresh = Some(written);
                self.memory.renewed_at = Some(sent);
                if self.complained.take().is_some() {
                    info!("the Lease can be written again");
                }
                Attempt::Leading
            }
            Err(error) => {
                // A clear no settles this write, but not an earlier one that may still be on its way.
                if !matches!(error, StoreError::Unknown(_)) {
                    self.unsure = unsure_before;
                }
                self.failed("write", error)
            }
        }
    }

    fn failed(&mut self, verb: &str, error: StoreError) -> Attempt {
        let text = match error {
            StoreError::Conflict => return Attempt::Conflict,
            StoreError::Refused(text) | StoreError::Unknown(text) => text,
        };
        let complaint = format!("{verb}: {text}");
        if self.complained.as_ref() != Some(&complaint) {
            warn!(lease = %self.cfg.name, namespace = %self.cfg.namespace, "cannot {verb} the Lease: {text}");
            self.complained = Some(complaint);
        }
        Attempt::Failed
    }

    /// Gives the lease back if it is still ours; tells whether it did.
    async fn release(&mut self) -> bool {
        self.fresh = None;
        for tries in 0..RELEASE_TRIES {
            if tries > 0 {
                sleep(SHORT_PAUSE).await;
            }
            let Ok(found) = within(self.call_limit(), self.store.get()).await else {
                continue;
            };
            let ours = found.and_then(|lease| plan::build_release(&lease, &self.cfg.identity, (self.wall)()));
            let Some(lease) = ours else {
                return false;
            };
            if within(self.call_limit(), self.store.replace(&lease)).await.is_ok() {
                info!(lease = %self.cfg.name, "released the lease");
                return true;
            }
        }
        warn!(lease = %self.cfg.name, "could not release the lease; it runs out by itself");
        false
    }

    /// A call may use half of the renew deadline, so that one that hangs leaves time for another.
    fn call_limit(&self) -> Duration {
        self.cfg.timing.renew_deadline / 2
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unknown(format!("no answer within {} s", limit.as_secs_f32()))))
}

#[cfg(test)]
#[path = "elector_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod schedule_tests;
