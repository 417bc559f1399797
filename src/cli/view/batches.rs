//! The batches of a release, each with how far it is.

use kube::ResourceExt;

use super::{
    Observed,
    standing::{desired, release},
};
use crate::{
    api::ModuleDeployment,
    cli::output::{Look, Tone, elided},
    domain::{
        policy::Strategy,
        release::{self as arithmetic, Progress},
    },
};

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// From 1.
    pub number: u32,
    /// How many instances it brings.
    pub size: u32,
    /// How many of them are available.
    pub done: u32,
    /// How it stands.
    pub state: State,
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Through.
    Complete,
    /// Through, and the next one waits for a confirmation.
    WaitsForConfirmation,
    /// Through, and the next one waits for its time, or for the end of a pause.
    Rests,
    /// It is being brought.
    Underway,
    /// Not begun.
    ToCome,
}

impl State {
    fn words(self) -> (&'static str, Tone) {
        match self {
            Self::Complete => ("complete", Tone::Good),
            Self::WaitsForConfirmation => ("complete, waits for a confirmation", Tone::Busy),
            Self::Rests => ("complete, the next one waits", Tone::Busy),
            Self::Underway => ("under way", Tone::Busy),
            Self::ToCome => ("to come", Tone::Faint),
        }
    }
}

/// The batches of the release that was last begun; none after a rollback, where there is nothing left to bring.
pub fn batches(observed: &Observed, deployment: &ModuleDeployment) -> Vec<Batch> {
    let Some(told) = release(deployment) else { return vec![] };
    let progress = told.progress.as_deref().unwrap_or_default();
    let wanted = desired(deployment).count;
    if wanted == 0 || [Progress::Aborted, Progress::Init].iter().any(|word| word.as_str() == progress) {
        return vec![];
    }
    let strategy = Strategy::parse(deployment.spec.operation_strategy.as_ref());
    let asked = told.update_revision.as_deref();
    let replaces = observed.sets_of(deployment).iter().any(|set| Some(set.name_any().as_str()) != asked);
    let status = deployment.status.as_ref();
    let available = status.and_then(|status| status.updated_available_replicas).unwrap_or(0).max(0).unsigned_abs();
    let target = |batch| if batch == 0 { 0 } else { arithmetic::target(wanted, &strategy, replaces, batch) };
    let current = told.current_batch.unwrap_or(0).max(0).unsigned_abs();
    let complete = told.batch_progress.as_deref() == Some(Progress::Completed.as_str());
    (1..=arithmetic::batches(wanted, &strategy, replaces))
        .map(|number| {
            let (begin, end) = (target(number - 1), target(number));
            let state = match () {
                () if progress == Progress::Completed.as_str() || number < current => State::Complete,
                () if number > current => State::ToCome,
                () if !complete => State::Underway,
                () if progress == Progress::WaitingForConfirmation.as_str() => State::WaitsForConfirmation,
                () => State::Rests,
            };
            let done = available.clamp(begin, end) - begin;
            Batch { number, size: end - begin, done, state }
        })
        .collect()
}

/// A line a batch, with a bar that fits the terminal, and no longer than that.
pub fn render(batches: &[Batch], look: &Look) -> String {
    const BESIDE: usize = 60;
    let room = look.width.unwrap_or(100).saturating_sub(BESIDE).clamp(5, 40);
    let digits = batches.len().to_string().len();
    let counts = batches.iter().map(|batch| count(batch).len()).max().unwrap_or(0);
    let mut text = String::new();
    for batch in batches {
        let full = room * usize::try_from(batch.done).unwrap_or(0) / usize::try_from(batch.size.max(1)).unwrap_or(1);
        let (words, tone) = batch.state.words();
        let bar = look.paint(tone, &"█".repeat(full)) + &look.paint(Tone::Faint, &"░".repeat(room - full));
        let line =
            format!("batch {:>digits$}  {bar}  {:>counts$}  {}", batch.number, count(batch), look.paint(tone, words),);
        text.push_str(&look.width.map_or_else(|| line.clone(), |width| elided(&line, width)));
        text.push('\n');
    }
    text
}

fn count(batch: &Batch) -> String {
    format!("{}/{}", batch.done, batch.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_edge_of_a_narrow_window() {
        let batch = Batch { number: 1, size: 1, done: 1, state: State::WaitsForConfirmation };
        let at = |width| render(std::slice::from_ref(&batch), &Look { colour: false, width: Some(width) });
        assert_eq!(at(40), "batch 1  █████  1/1  complete, waits fo…\n");
        assert_eq!(at(65), "batch 1  █████  1/1  complete, waits for a confirmation\n");
    }
}
