//! What the workflows and the action in `.github` are made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use mirror_testkit::GITHUB_REPOSITORY;

/// The archive of a release as release.yml packs it, and what `gh` does with it.
#[test]
fn a_release_is_installed_only_when_it_is_what_it_should_be() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let name = format!("mirror-v9.9.9-{target}");
    let pack = format!(
        "mkdir -p release {name} bin && printf '#!/bin/sh\\necho mirror 9.9.9\\n' >{name}/mirror && chmod +x {name}/mirror \
         && tar -czf release/{name}.tar.gz {name} && cd release && sha256sum mirror-*.tar.gz >SHA256SUMS"
    );
    assert!(
        Command::new("bash").args(["-ec", &pack]).current_dir(folder).status().unwrap().success()
    );
    let gh = "#!/bin/bash\nset -e\nif [ \"$1\" = release ]; then\n  while [ \"$1\" != --dir ]; do shift; done\n  \
              cp \"$RELEASE\"/* \"$2/\"\n  \
              [ \"$GITHUB_SERVER_URL $GH_HOST $GH_ENTERPRISE_TOKEN\" = 'https://github.acme.example github.acme.example token' ] || [ \"$GITHUB_SERVER_URL $GH_HOST\" = 'https://github.com ' ]\nelse\n  [ \"$1 $2\" = 'attestation verify' ] && [ \"$GENUINE\" = yes ]\nfi\n";
    std::fs::write(folder.join("bin/gh"), gh).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(folder.join("bin/gh")).status().unwrap().success());
    let install =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/actions/setup-mirror/install");
    let run_at = |server: &str, sha256: &str, genuine: &str| {
        let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
        let _ = std::fs::remove_file(folder.join("path"));
        let output = Command::new("bash")
            .arg(&install)
            .env_clear()
            .envs([
                ("PATH", path.as_str()),
                ("VERSION", "v9.9.9"),
                ("REPOSITORY", GITHUB_REPOSITORY),
            ])
            .envs([("SHA256", sha256), ("GENUINE", genuine), ("GH_TOKEN", "token")])
            .env("GITHUB_SERVER_URL", server)
            .env("RUNNER_TEMP", folder.join("temporary"))
            .env("GITHUB_PATH", folder.join("path"))
            .env("RELEASE", folder.join("release"))
            .output()
            .unwrap();
        assert_eq!(output.status.success(), folder.join("path").exists(), "{output:?}");
        output.status.success()
    };
    let run = |sha256: &str, genuine: &str| run_at("https://github.com", sha256, genuine);
    assert!(run("", "yes"));
    assert!(!run("", "no"), "somebody else's");
    // Another server attests nothing, and gh is told where it is.
    let sums = std::fs::read_to_string(folder.join("release/SHA256SUMS")).unwrap();
    let server = "https://github.acme.example";
    assert!(run_at(server, sums.split_whitespace().next().unwrap(), "no"));
    assert!(!run_at(server, "", "no"), "a checksum of its own proves nothing");
    assert!(!run(&"0".repeat(64), "yes"), "not what was asked for");
    assert!(!folder.join("temporary/mirror/mirror").exists());
    std::fs::write(folder.join(format!("release/{name}.tar.gz")), "other bytes").unwrap();
    assert!(!run("", "yes"), "not what the checksum says");
}

#[test]
fn only_the_default_branch_is_applied_and_only_the_base_is_built() {
    let read = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::read_to_string(root.join(path)).unwrap()
    };
    let apply = read(".github/workflows/apply.yml");
    let branch = "if: github.event_name == 'schedule' || github.ref == format('refs/heads/{0}', github.event.repository.default_branch)";
    let server = read(".github/workflows/apply-server.yml");
    for (workflow, images) in [(&apply, "inputs.images || 'images'"), (&server, "inputs.images")] {
        assert!(workflow.contains(branch));
        let group = format!("group: mirror-apply-${{{{ {images} }}}}-${{{{ github.ref }}}}");
        assert!(workflow.contains(&group), "{group}");
    }
    let made = ["apply.yml", "apply-server.yml"]
        .map(|name| read(&format!("crates/mirror/src/commands/init/{name}")));
    for workflow in [apply, server].into_iter().chain(made) {
        assert!(!workflow.contains(" branches:"), "no name of a branch stands there");
    }
    let plan = read(".github/workflows/plan-job.yml");
    assert!(
        plan.contains("(github.event.pull_request.base.sha || github.event.merge_group.base_sha)")
    );
    let action = read(".github/actions/setup-mirror/action.yml");
    assert!(action.contains("cd \"$RUNNER_TEMP/mirror-source\" && cargo"));
}

#[test]
fn every_action_is_pinned_and_every_job_has_its_rights() {
    let github = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github");
    let mut files: Vec<PathBuf> = std::fs::read_dir(github.join("workflows"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.push(github.join("actions/setup-mirror/action.yml"));
    assert_eq!(files.len(), 11);
    let ours = ["./.mirror/.github/actions/setup-mirror", "./.github/workflows/plan-job.yml"];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
        for line in lines.filter_map(|line| line.strip_prefix("uses: ")) {
            let pinned = line.split_once('@').is_some_and(|(_, commit)| {
                let (commit, version) = commit.split_once(" # v").unwrap_or((commit, ""));
                commit.len() == 40 && !version.is_empty()
            });
            assert!(pinned || ours.contains(&line), "{file:?}: {line}");
        }
        if file.ends_with("action.yml") {
            continue;
        }
        let jobs = text.split("\njobs:").nth(1).unwrap();
        let count = |key: &str| jobs.matches(&format!("\n    {key}:")).count();
        assert_eq!(count("runs-on"), count("timeout-minutes"), "{file:?}");
        // The job of two workflows has the rights that they give it.
        if file.ends_with("plan-job.yml") {
            assert_eq!(count("permissions"), 0);
            continue;
        }
        assert!(text.contains("\npermissions: {}\n"), "{file:?}");
        assert_eq!(count("runs-on") + count("uses"), count("permissions"), "{file:?}");
    }
}
