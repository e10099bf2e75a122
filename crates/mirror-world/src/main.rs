//! Plays worlds: many seeds, or one of them again.
#![expect(clippy::print_stdout, reason = "a command that prints")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use mirror_testkit::world::Story;
use mirror_world::{KNOWN, Played, attempt, shrink};

/// Plays worlds, and says which invariants broke
#[derive(Debug, Parser)]
struct Arguments {
    /// Plays so many seeds, after those that once broke something
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// Starts at this seed; with --minutes, at one that nobody has played before
    #[arg(long)]
    from: Option<u64>,
    /// Plays this seed alone, and prints everything that happened
    #[arg(long)]
    seed: Option<u64>,
    /// Plays new seeds until so many minutes are over
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// Plays so many worlds side by side
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Lines of the log that are shown of a world that broke something.
const LAST: usize = 60;
/// Stories that are tried to find a shorter one.
const TRIES: usize = 400;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed);
    }
    let began = Instant::now();
    let start = arguments.from.unwrap_or(match arguments.minutes {
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() << 16),
        None => 0,
    });
    let until = arguments.minutes.map(|minutes| began + Duration::from_secs(60 * minutes));
    let known = KNOWN.len() as u64;
    let (next, played, broken) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Some(until) => Instant::now() > until,
                        None => number >= known + arguments.seeds,
                    };
                    if over {
                        return;
                    }
                    let seed = usize::try_from(number).ok().and_then(|number| KNOWN.get(number));
                    let seed = seed.map_or_else(|| start + number - known, |(seed, _)| *seed);
                    played.fetch_add(1, Ordering::Relaxed);
                    if let Some(what) = what_broke(&attempt(&Story::draw(seed))) {
                        println!("seed {seed}: {what}");
                        broken.lock().unwrap_or_else(|it| it.into_inner()).push(seed);
                    }
                }
            });
        }
    });
    let played = played.into_inner();
    let mut broken = broken.into_inner().unwrap_or_else(|it| it.into_inner());
    broken.sort_unstable();
    let Some(first) = broken.first() else {
        println!("{played} worlds: all invariants held");
        return std::process::ExitCode::SUCCESS;
    };
    one(*first);
    let seeds: Vec<String> = broken.iter().map(ToString::to_string).collect();
    println!("{played} worlds: {} broke an invariant: {}", broken.len(), seeds.join(" "));
    std::process::ExitCode::FAILURE
}

/// The first invariant that did not hold.
fn what_broke(played: &Played) -> Option<String> {
    let violation = played.violations.first()?;
    Some(format!("{}: {}", violation.invariant, violation.what))
}

/// Plays one seed. Where it breaks something, prints the shortest story that does, and how that ended.
fn one(seed: u64) -> std::process::ExitCode {
    let story = Story::draw(seed);
    let played = attempt(&story);
    if played.violations.is_empty() {
        played.log.iter().for_each(|line| println!("{line}"));
        println!("1 worlds: all invariants held");
        return std::process::ExitCode::SUCCESS;
    }
    let (story, played) = shrink(&story, &played, TRIES);
    println!("\nThe shortest story of seed {seed} that breaks the same:\n");
    println!("{story:#?}\n\n{}", story.config());
    story.files().iter().for_each(|(file, text)| println!("{file}: {}", text.trim_end()));
    println!("\nThe last of {} lines:\n", played.log.len());
    let start = played.log.len().saturating_sub(LAST);
    played.log.iter().skip(start).for_each(|line| println!("{line}"));
    println!();
    for violation in &played.violations {
        println!("broken: {}: {}", violation.invariant, violation.what);
    }
    println!("replay: scripts/world --seed {seed}");
    std::process::ExitCode::FAILURE
}
