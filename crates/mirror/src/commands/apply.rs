//! `mirror apply`

use std::path::Path;
use std::time::Instant;

use mirror_plan::{Report, Status};
use mirror_registry::Access;

use crate::cli::{Apply, Format};
use crate::exit::Exit;
use crate::hosts::Hosts;
use crate::load::load;
use crate::observe::{self, Depth, Tags};
use crate::progress::Display;
use crate::{environment, print, run as carry_out};

pub(crate) fn run(images: Option<&Path>, command: &Apply) -> Exit {
    let started = Instant::now();
    let loaded = load(images);
    if let Err(exit) = loaded.usable() {
        return exit;
    }
    super::in_runtime(async {
        let hosts = Hosts::new(&loaded.wants, &loaded.config, &loaded.root, Access::PullPush)?;
        let looking = observe::plan(&loaded.wants, &hosts, Depth::Manifests, Tags::Leave);
        let (plan, graphs) = tokio::select! {
            found = looking => found,
            _ = tokio::signal::ctrl_c() => {
                print::message("interrupted before anything was copied");
                return Ok(Exit::Interrupted);
            }
        };
        let display = Display::new(command.progress, &plan);
        let spool = command.spool.clone().unwrap_or_else(environment::spool);
        let outcomes = carry_out::run(&plan, &graphs, &hosts, &spool, display).await;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = Report::new(&plan, outcomes, milliseconds);
        match command.format {
            Format::Text => print::data(&mirror_plan::render_report(&report)),
            Format::Json => print::json(&report),
        }
        Ok(exit(&report))
    })
}

fn exit(report: &Report) -> Exit {
    if report.outcomes.iter().any(|outcome| outcome.status == Status::Cancelled) {
        Exit::Interrupted
    } else if report.totals.failed > 0 {
        Exit::Failed
    } else if report.totals.conflicts > 0 {
        Exit::Conflict
    } else {
        Exit::Done
    }
}
