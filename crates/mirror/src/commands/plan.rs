//! `mirror plan`

use std::path::Path;

use mirror_plan::{COMMENT_BUDGET, SUMMARY_BUDGET, busy_shards, plan_markdown};
use mirror_registry::Access;

use crate::cli::{PageFormat, Plan};
use crate::exit::Exit;
use crate::hosts::Hosts;
use crate::load::load;
use crate::observe::{self, Depth, Tags};
use crate::{print, saved};

pub(crate) fn run(images: Option<&Path>, command: &Plan) -> Exit {
    let loaded = load(images);
    if let Err(exit) = loaded.usable() {
        return exit;
    }
    super::in_runtime(async {
        let hosts =
            Hosts::new(&loaded.wants, &loaded.config, &loaded.root, Access::Pull, 1).await?;
        let depth = if command.no_sizes { Depth::Digests } else { Depth::Manifests };
        let (plan, graphs) = observe::plan(&loaded.wants, &hosts, depth, Tags::Ask).await;
        if let Some(file) = &command.out
            && let Err(error) = saved::write(file, &plan, &graphs, &loaded)
        {
            let what = format!("could not save the plan in {}", file.display());
            print::error(&what, &error.to_string(), Some("name a file in a folder that is there"));
            return Ok(Exit::Usage);
        }
        if let Some(parts) = command.matrix {
            let shards: Vec<String> =
                busy_shards(&plan, parts).iter().map(ToString::to_string).collect();
            print::data(&format!("{}\n", serde_json::json!({ "shard": shards })));
            return Ok(ending(&plan, command));
        }
        match command.format {
            PageFormat::Text => print::data(&mirror_plan::render_plan(&plan)),
            PageFormat::Json => print::json(&plan),
            PageFormat::Markdown => print::data(&plan_markdown(&plan, COMMENT_BUDGET)),
        }
        print::step_summary(|| plan_markdown(&plan, SUMMARY_BUDGET));
        Ok(ending(&plan, command))
    })
}

fn ending(plan: &mirror_plan::Plan, command: &Plan) -> Exit {
    if plan.totals.failures > 0 {
        Exit::Failed
    } else if !plan.conflicts.is_empty() {
        Exit::Conflict
    } else if plan.totals.deferred > 0 {
        Exit::Deferred
    } else if command.exit_code && !plan.actions.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    }
}
