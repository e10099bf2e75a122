//! Progress, on standard error: bars on a terminal, a line for each finished image elsewhere, or JSON lines.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mirror_engine::{Event, Events};
use mirror_plan::plan::{Plan, Shard};
use mirror_plan::report::{ProgressLine, Status};
use mirror_registry::Listener;
use mirror_render::people::{render_finished, render_notice, render_unknown};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::args::Progress;
use crate::print;

/// Bars at once; a terminal has few lines.
const MOST_BARS: usize = 16;

/// How often rates, remaining time and the width of the terminal are looked at.
const REDRAW: Duration = Duration::from_millis(200);

/// Opens the channel of a run, and shows what comes out of it until it is closed.
pub(crate) fn listen(progress: Progress, shard: Option<Shard>) -> (Events, JoinHandle<()>) {
    let (events, told) = Events::new(shard);
    (events, tokio::spawn(show(progress, told)))
}

/// The channel of a command that only looks: what is worth a line is shown as it happens.
pub(crate) fn listen_to_pauses() -> Events {
    Events::telling(Listener::new(|event| notice(Progress::Lines, &event, print::message)))
}

async fn show(progress: Progress, mut events: UnboundedReceiver<Event>) {
    let mut clock = tokio::time::interval(REDRAW);
    let mut display: Option<Display> = None;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = clock.tick() => {
                display.iter().for_each(Display::refresh);
                continue;
            }
        };
        let Some(event) = event else { break };
        match event {
            Event::Planned { plan, .. } => {
                render_unknown(&plan).iter().for_each(|line| print::message(line));
                display = Some(Display::new(progress, &plan));
            }
            Event::PassEnded => display.take().iter().for_each(Display::finish),
            event => match &display {
                Some(display) => display.add(&event),
                None => notice(progress, &event, print::message),
            },
        }
    }
    display.iter().for_each(Display::finish);
}

/// Says what is worth a line whatever is on the screen.
fn notice(progress: Progress, event: &Event, say: impl Fn(&str)) {
    match (progress, ProgressLine::of_host(event)) {
        (Progress::Json, Some(line)) => json(&line),
        _ => render_notice(event).iter().for_each(|line| say(line)),
    }
}

/// Shows what is happening.
struct Display {
    images: Vec<Shown>,
    progress: Progress,
    kind: DisplayKind,
    state: Mutex<DisplayState>,
}

struct Shown {
    name: String,
    destination: String,
    size: u64,
}

enum DisplayKind {
    Bars(MultiProgress),
    Lines,
    Json,
}

#[derive(Default)]
struct DisplayState {
    running: HashMap<usize, Running>,
    finished: usize,
    pushed: u64,
    told: Option<Instant>,
    total: Option<ProgressBar>,
}

impl DisplayState {
    /// Moves the bars on. What is sent a second time after a failure doesn't move them beyond their end.
    fn advance(&mut self, number: usize, bytes: u64, size: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        let step = bytes.min(size.saturating_sub(running.moved));
        running.moved += step;
        running.bar.iter().chain(&self.total).for_each(|bar| bar.inc(step));
    }
}

struct Running {
    since: Instant,
    pushed: u64,
    moved: u64,
    bar: Option<ProgressBar>,
}

impl Display {
    fn new(progress: Progress, plan: &Plan) -> Display {
        let images: Vec<Shown> = plan
            .copies()
            .map(|copy| Shown {
                name: copy.want.target.shown(),
                destination: copy.want.target.destination.clone(),
                size: copy.bytes.unwrap_or(0),
            })
            .collect();
        let kind = match progress {
            Progress::Json => DisplayKind::Json,
            Progress::Bars => DisplayKind::Bars(MultiProgress::new()),
            Progress::Auto if std::io::stderr().is_terminal() => {
                DisplayKind::Bars(MultiProgress::new())
            }
            Progress::Auto | Progress::Lines => DisplayKind::Lines,
        };
        let mut state = DisplayState::default();
        if let DisplayKind::Bars(bars) = &kind
            && !images.is_empty()
        {
            let bar = bars.add(ProgressBar::new(images.iter().map(|image| image.size).sum()));
            bar.set_style(style("{msg} {wide_bar} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {eta}"));
            bar.set_message(format!("0 of {} images", images.len()));
            state.total = Some(bar);
        }
        Display { images, progress, kind, state: Mutex::new(state) }
    }

    /// Shows one event of the run.
    fn add(&self, event: &Event) {
        match event {
            Event::Started(number) => self.started(*number),
            Event::Moved { image, transfer, reused_bytes } => {
                self.moved(*image, transfer.pushed_bytes, *reused_bytes);
            }
            Event::Finished(number, outcome) => self.finished(*number, &outcome.status),
            event => notice(self.progress, event, |text| self.say(text)),
        }
    }

    /// Prints a line, through the bars, so that they make room for it.
    fn say(&self, line: &str) {
        match &self.kind {
            DisplayKind::Bars(bars) => {
                let _ = bars.println(line);
            }
            DisplayKind::Lines | DisplayKind::Json => print::message(line),
        }
    }

    /// The copy of an image begins.
    fn started(&self, number: usize) {
        let Some(image) = self.images.get(number) else { return };
        if matches!(self.kind, DisplayKind::Json) {
            let (name, destination) = (image.name.clone(), image.destination.clone());
            json(&ProgressLine::Started { image: name, destination, bytes: image.size });
        }
        let running = Running { since: Instant::now(), pushed: 0, moved: 0, bar: None };
        self.state().running.insert(number, running);
    }

    /// A bar for an image of which bytes move; those that wait for others would only fill the screen.
    fn show(&self, state: &mut DisplayState, number: usize) {
        let DisplayKind::Bars(bars) = &self.kind else { return };
        let shown = state.running.values().filter(|running| running.bar.is_some()).count();
        let (Some(image), Some(running)) =
            (self.images.get(number), state.running.get_mut(&number))
        else {
            return;
        };
        if running.bar.is_some() || shown >= MOST_BARS {
            return;
        }
        let bar = bars.add(ProgressBar::new(image.size));
        bar.set_style(style("  {wide_msg} {bar:12} {binary_bytes:>10} of {binary_total_bytes:10}"));
        bar.set_message(format!("{} to {}", image.name, image.destination));
        bar.inc(running.moved);
        running.bar = Some(bar);
    }

    /// Draws anew what is on the screen, whose size may have changed.
    fn refresh(&self) {
        let state = self.state();
        state
            .running
            .values()
            .filter_map(|running| running.bar.as_ref())
            .for_each(ProgressBar::tick);
        state.total.iter().for_each(ProgressBar::tick);
    }

    /// Moves the bars of an image on.
    fn moved(&self, number: usize, pushed: u64, reused: u64) {
        if pushed + reused == 0 {
            return;
        }
        let mut state = self.state();
        state.pushed += pushed;
        if let Some(running) = state.running.get_mut(&number) {
            running.pushed += pushed;
        }
        let size = self.images.get(number).map_or(0, |image| image.size);
        state.advance(number, pushed + reused, size);
        self.show(&mut state, number);
        self.tell(&mut state);
    }

    /// Says how far everything is, but not more often than once a second.
    fn tell(&self, state: &mut DisplayState) {
        let now = Instant::now();
        let early = state.told.is_some_and(|told| now - told < Duration::from_secs(1));
        if !matches!(self.kind, DisplayKind::Json) || early {
            return;
        }
        state.told = Some(now);
        json(&ProgressLine::Moved {
            pushed_bytes: state.pushed,
            bytes: self.images.iter().map(|image| image.size).sum(),
            finished: state.finished,
            of: self.images.len(),
        });
    }

    /// An image is done, or not.
    fn finished(&self, number: usize, status: &Status) {
        let Some(image) = self.images.get(number) else { return };
        let mut state = self.state();
        let Some(running) = state.running.remove(&number) else { return };
        state.finished += 1;
        let (finished, all) = (state.finished, self.images.len());
        running.bar.iter().for_each(ProgressBar::finish_and_clear);
        state.total.iter().for_each(|bar| bar.set_message(format!("{finished} of {all} images")));
        let seconds = running.since.elapsed().as_secs_f64();
        let line =
            render_finished(&image.name, &image.destination, status, running.pushed, seconds);
        match &self.kind {
            DisplayKind::Bars(_) => self.say(&line),
            DisplayKind::Lines => self.say(&format!("[{finished}/{all}] {line}")),
            DisplayKind::Json => json(&ProgressLine::Finished {
                image: image.name.clone(),
                destination: image.destination.clone(),
                pushed_bytes: running.pushed,
                seconds,
                finished,
                of: all,
                status: status.clone(),
            }),
        }
    }

    /// Takes everything off the screen that was only there for the time.
    fn finish(&self) {
        let state = self.state();
        state
            .running
            .values()
            .filter_map(|running| running.bar.as_ref())
            .for_each(ProgressBar::finish_and_clear);
        state.total.iter().for_each(ProgressBar::finish_and_clear);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, DisplayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json(line: &ProgressLine) {
    print::message(&serde_json::to_string(line).unwrap_or_default());
}

/// A template that is a constant can only be wrong in a test.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
