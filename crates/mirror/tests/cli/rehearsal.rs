//! The scripts of the workflows, as they are in `.github/workflows`, run in their order on a real Git repository: a first
//! merge, a bot's pull request, its merge, and nights.

use std::path::{Path, PathBuf};
use std::process::Command;

use mirror_testkit::{
    AuthProfile, DebianRegistry, FakeGitHub, GITHUB_REPOSITORY, GITHUB_TOKEN, ImageBuilder,
    Profile, Registry, missing_tool,
};
use tempfile::TempDir;

use crate::Project;
use crate::scope::{commit, git};

/// The script of a step, by the name of its job and its own.
fn script(workflow: &str, job: &str, step: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows").join(workflow);
    let text = std::fs::read_to_string(path).unwrap();
    let job = text.split(&format!("\n  {job}:\n")).nth(1).unwrap();
    let step = job.split(&format!("\n      - name: {step}\n")).nth(1);
    let step = step.unwrap().split("\n      - ").next().unwrap();
    let run = step.split("        run: ").nth(1).unwrap();
    if !run.starts_with('|') {
        return run.lines().next().unwrap().to_owned();
    }
    let lines =
        run.lines().skip(1).take_while(|line| line.is_empty() || line.starts_with("          "));
    lines.map(|line| format!("{}\n", line.trim())).collect()
}

/// A checkout with what a runner has around it.
pub(crate) struct Runner {
    pub(crate) project: Project,
    temporary: TempDir,
    github: FakeGitHub,
    path: String,
    /// The folder of the tree, as the workflows are told it.
    images: String,
}

impl Runner {
    pub(crate) fn new(project: Project) -> Runner {
        let folder =
            Path::new(env!("CARGO_BIN_EXE_mirror")).parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let (temporary, github) = (tempfile::tempdir().unwrap(), FakeGitHub::start());
        Runner { project, temporary, github, path, images: "images".into() }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    pub(crate) fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Runs a step as a runner does: by bash, with its variables.
    fn step(&self, workflow: &str, job: &str, step: &str, variables: &[(&str, &str)]) -> i32 {
        let script = script(workflow, job, step);
        let variable = |name: &str| (name.to_owned(), self.file(name).display().to_string());
        let output = Command::new("bash")
            .args(["-e", "-c", &script])
            .current_dir(self.project.path())
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.temporary.path())
            .envs([
                variable("GITHUB_OUTPUT"),
                variable("GITHUB_ENV"),
                variable("GITHUB_STEP_SUMMARY"),
            ])
            .env("RUNNER_TEMP", self.temporary.path())
            .envs([("GITHUB_ACTIONS", "true"), ("GITHUB_REPOSITORY", GITHUB_REPOSITORY)])
            .env("IMAGES", &self.images)
            .env("GITHUB_API_URL", self.github.api())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        std::fs::write(
            self.file("said"),
            format!("{said}{}", String::from_utf8_lossy(&output.stdout)),
        )
        .unwrap();
        output.status.code().unwrap()
    }

    pub(crate) fn works(&self, workflow: &str, job: &str, step: &str, variables: &[(&str, &str)]) {
        let code = self.step(workflow, job, step, variables);
        assert_eq!(code, 0, "{workflow} {job} {step}: {}", self.written("said"));
    }

    /// The last step of apply.yml.
    fn issue(&self, plan: &str, matrix: &str) {
        let variables =
            [("GITHUB_TOKEN", GITHUB_TOKEN), ("PLAN", plan), ("MATRIX", matrix), ("PROBLEM", "")];
        self.works("apply.yml", "report", "one issue", &variables);
    }

    /// apply.yml as a whole; how the jobs ended, and their shards.
    fn apply(&self) -> (Vec<String>, Vec<i32>) {
        let _ = std::fs::remove_file(self.file("GITHUB_OUTPUT"));
        let _ = std::fs::remove_dir_all(self.project.path().join("reports"));
        self.works("apply.yml", "plan", "plan", &[("SHARDS", "3")]);
        self.works("apply.yml", "plan", "tags that no bot updates", &[]);
        let output = self.written("GITHUB_OUTPUT");
        let matrix: serde_json::Value =
            serde_json::from_str(output.trim().strip_prefix("matrix=").unwrap()).unwrap();
        let shards = matrix.get("shard").unwrap().as_array().unwrap().iter();
        let shards: Vec<String> = shards.map(|shard| shard.as_str().unwrap().to_owned()).collect();
        let run = |shard: &String| self.step("apply.yml", "apply", "apply", &[("SHARD", shard)]);
        let codes: Vec<i32> = shards.iter().map(run).collect();
        // What uploading and downloading do.
        std::fs::create_dir(self.project.path().join("reports")).unwrap();
        for shard in &shards {
            let name = format!("report-{}.json", shard.split('/').next().unwrap());
            let (from, to) = (self.project.path().join(&name), format!("reports/{name}"));
            std::fs::rename(from, self.project.path().join(to)).unwrap();
        }
        if !shards.is_empty() {
            self.works("apply.yml", "report", "report", &[]);
        }
        self.issue("success", &matrix.to_string());
        (shards, codes)
    }
}

/// Forty images in a repository on main, with their registries.
fn forty() -> (Registry, DebianRegistry, Project) {
    let (source, destination) = (Registry::start(), DebianRegistry::start());
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    for number in 0..40 {
        let name = format!("team/app{number:02}");
        let image = ImageBuilder::new(&name).platforms(&["linux/amd64", "linux/arm64"]).build();
        source.add(&name, "1.0.0", &image);
        project.entry(&format!("{name}:1.0.0@{}", image.digest()));
    }
    project.mirror(&["bots", "dependabot"]).run();
    project.write(".gitignore", "/mirror.plan\n/matrix.json\n/report*\n/outdated.json\n/.spool\n");
    (source, destination, project)
}

/// What a bot does: a new tag with its digest.
fn bump(source: &Registry, project: &Project, number: usize) {
    let name = format!("team/app{number:02}");
    let image =
        ImageBuilder::new(format!("{name} new")).platforms(&["linux/amd64", "linux/arm64"]).build();
    source.add(&name, "1.1.0", &image);
    let file = format!("images/docker.io/{name}/Dockerfile");
    project.write(&file, &format!("FROM {name}:1.1.0@{}\n", image.digest()));
}

#[test]
fn from_a_bots_commit_to_the_registry() {
    if missing_tool("docker-registry") {
        return;
    }
    let (source, _destination, project) = forty();
    let root = project.path().to_owned();
    commit(&project, "forty images");
    let runner = Runner::new(project);

    // The first merge: everything is new, on three machines.
    let (shards, codes) = runner.apply();
    assert_eq!(shards, ["1/3", "2/3", "3/3"]);
    assert_eq!(codes, [0, 0, 0]);
    assert!(runner.written("GITHUB_STEP_SUMMARY").contains("### mirror: 40 copied, 0 unchanged"));
    assert_eq!(runner.github.issues().len(), 0);

    // A bot's commit on a branch, checked out as GitHub does: merged, with main as first parent.
    git(&root, &["checkout", "--quiet", "-b", "dependabot/docker/images"]);
    [3, 17, 29].iter().for_each(|number| bump(&source, &runner.project, *number));
    let head = commit(&runner.project, "Bump the images group with 3 updates");
    git(&root, &["checkout", "--quiet", "--detach", "main"]);
    git(&root, &["merge", "--quiet", "--no-ff", "-m", "merge", "dependabot/docker/images"]);
    runner.works("plan-job.yml", "plan", "check", &[]);
    runner.works("plan-job.yml", "plan", "check the bots", &[]);
    runner.works("plan-job.yml", "plan", "credentials for registries", &[("CONFIG", "")]);
    runner.works("plan-job.yml", "plan", "plan", &[("SINCE", "HEAD^1")]);
    std::fs::create_dir(runner.file("plan")).unwrap();
    std::fs::rename(root.join("mirror.plan"), runner.file("plan/mirror.plan")).unwrap();
    runner.github.open_pull_request(7, &head);
    let variables = [
        ("GITHUB_TOKEN", GITHUB_TOKEN),
        ("HEAD_SHA", head.as_str()),
        ("RUN_URL", "https://ci.example.com/7"),
    ];
    runner.works("comment.yml", "comment", "comment", &variables);
    let comment = runner.github.comments().remove(0).1;
    assert!(comment.contains("### mirror: 3 to create\n"), "{comment}");
    assert_eq!(comment.matches("| `1.0.0` → `1.1.0` |").count(), 3, "{comment}");
    assert_eq!(runner.github.statuses()[0]["state"], "success");

    // The merge makes it happen, on as many machines as have something to do.
    git(&root, &["checkout", "--quiet", "main"]);
    git(&root, &["merge", "--quiet", "--ff-only", "dependabot/docker/images"]);
    let (shards, codes) = runner.apply();
    assert!(
        (1..=3).contains(&shards.len()) && codes.iter().all(|code| *code == 0),
        "{shards:?} {codes:?}"
    );
    runner.project.mirror(&["plan", "--exit-code"]).run();
    runner.project.mirror(&["verify"]).run();

    // A night on which one is gone, and the next, on which it is back.
    runner.project.entry("team/floating:2");
    commit(&runner.project, "one that nobody has");
    let (shards, codes) = runner.apply();
    assert_eq!((shards.len(), codes), (1, vec![1]));
    let issue = runner.github.issues().remove(0);
    assert!(issue["body"].as_str().unwrap().contains("docker.io/team/floating:2"), "{issue}");
    source.add("team/floating", "2", &ImageBuilder::new("late").build());
    let (_, codes) = runner.apply();
    assert_eq!(codes, [0]);
    assert_eq!(runner.github.issues()[0]["state"], "closed");
    let (shards, _) = runner.apply();
    assert_eq!(shards, Vec::<String>::new(), "nothing to do");

    // A tag is pushed again: a pull request takes its digest.
    let again = ImageBuilder::new("again").build();
    source.add("team/app00", "1.0.0", &again);
    let head = git(&root, &["rev-parse", "HEAD"]);
    let file = "images/docker.io/team/app00/Dockerfile";
    runner.github.push_as(&head, "main", &[(file, "FROM team/app00:1.0.0\n")]);
    let _ = std::fs::remove_file(runner.file("GITHUB_OUTPUT"));
    let login = [("GITHUB_TOKEN", GITHUB_TOKEN)];
    runner.works("apply.yml", "plan", "pull requests for them", &login);
    let proposed = runner.github.branch("mirror/update-all").unwrap();
    assert_eq!(proposed[file], format!("FROM team/app00:1.0.0@{}\n", again.digest()));
    assert_eq!(runner.written("GITHUB_OUTPUT"), "");
    runner.works("apply.yml", "plan", "pull requests for them", &[("GITHUB_TOKEN", "wrong")]);
    assert!(runner.written("GITHUB_OUTPUT").starts_with("problem=updates could not be proposed"));
}

/// Enterprise Server hands no files from one job to the next; and the tree of a monorepo is further down.
#[test]
fn one_job_plans_and_comments_and_one_applies_and_reports() {
    let (source, destination) = (Registry::start(), Registry::start());
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    let image = ImageBuilder::new("app").build();
    source.add("team/app", "1", &image);
    project.entry(&format!("team/app:1@{}", image.digest()));
    let root = project.path().to_owned();
    std::fs::create_dir_all(root.join("deploy/base")).unwrap();
    std::fs::rename(root.join("images"), root.join("deploy/base/pulled")).unwrap();
    project.write("README.md", "a monorepo\n");
    commit(&project, "one image");
    let next = ImageBuilder::new("next").build();
    source.add("team/app", "2", &next);
    let file = "deploy/base/pulled/docker.io/team/app/Dockerfile";
    project.write(file, &format!("FROM team/app:2@{}\n", next.digest()));
    let head = commit(&project, "the next one");
    let mut runner = Runner::new(project);
    runner.images = "deploy/base/pulled".into();
    runner.github.open_pull_request(7, &head);

    runner.works("plan-job.yml", "plan", "check", &[]);
    runner.works("plan-job.yml", "plan", "plan", &[("SINCE", "HEAD^1"), ("LENIENT", "false")]);
    let url = "https://github.example.com/acme/images/actions/runs/7";
    let variables = [("GITHUB_TOKEN", GITHUB_TOKEN), ("HEAD_SHA", head.as_str()), ("RUN_URL", url)];
    runner.works("plan-job.yml", "plan", "comment", &variables);
    let comment = runner.github.comments().remove(0).1;
    assert!(comment.contains("### mirror: 1 to create\n"), "{comment}");
    assert_eq!(runner.github.statuses()[0]["target_url"], url);
    // A tree with errors has no plan, and none of an earlier commit stays in the comment.
    runner.project.write(file, "FROM team/app\n");
    assert_eq!(runner.step("plan-job.yml", "plan", "plan", &[("SINCE", "HEAD^1")]), 2);
    runner.works("plan-job.yml", "plan", "comment", &variables);
    let comment = runner.github.comments().remove(0).1;
    assert!(!comment.contains("1 to create"), "{comment}");
    git(&root, &["checkout", "--quiet", "."]);

    let issue = |apply: &str| {
        let variables = [("GITHUB_TOKEN", GITHUB_TOKEN), ("APPLY", apply), ("PROBLEM", "")];
        runner.works("apply-server.yml", "apply", "one issue", &variables);
    };
    runner.works("apply-server.yml", "apply", "apply", &[]);
    runner.works("apply-server.yml", "apply", "tags that no bot updates", &[]);
    issue("success");
    assert_eq!(runner.github.issues().len(), 0);
    assert!(destination.tags().iter().any(|tag| tag.ends_with("team/app:2")));
    // What fails is told, and so is a machine that is lost.
    std::fs::remove_file(root.join("report.json")).unwrap();
    issue("failure");
    let told = runner.github.issues().remove(0);
    assert!(told["body"].as_str().unwrap().contains("the job ended without a report"), "{told}");
    runner.project.write("deploy/base/pulled/docker.io/team/gone/Dockerfile", "FROM team/gone:1\n");
    assert_eq!(runner.step("apply-server.yml", "apply", "apply", &[]), 1);
    issue("failure");
    let told = runner.github.issues().remove(0);
    assert!(told["body"].as_str().unwrap().contains("docker.io/team/gone:1"), "{told}");
}

#[test]
fn what_leaves_no_report_is_told_all_the_same() {
    let project = Project::new();
    project.config("127.0.0.1:9", "127.0.0.1:9");
    let runner = Runner::new(project);
    // Machines that are lost.
    runner.issue("success", "{\"shard\":[\"1/3\",\"2/3\"]}");
    let issue = runner.github.issues().remove(0);
    let text = issue["body"].as_str().unwrap();
    assert!(text.contains("2 of 2 jobs apply ended without a report"), "{text}");
    // A tree with errors, which has no plan at all.
    runner.project.write("images/docker.io/team/wrong/Dockerfile", "FROM team/wrong\n");
    assert_eq!(runner.step("apply.yml", "plan", "plan", &[("SHARDS", "3")]), 2);
    runner.works("apply.yml", "plan", "tags that no bot updates", &[]);
    assert!(!runner.project.path().join("outdated.json").exists());
    runner.issue("failure", "");
    let issue = runner.github.issues().remove(0);
    assert!(
        issue["body"].as_str().unwrap().contains("the job plan ended with: failure"),
        "{issue}"
    );
}

#[test]
fn a_run_that_is_cancelled_leaves_its_report() {
    let (source, destination) = (Registry::start(), Registry::start());
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    source.add("team/app", "1", &ImageBuilder::new("app").layers(&[10]).build());
    project.entry("team/app:1");
    project.mirror(&["plan", "--out", "mirror.plan"]).run();
    source.set_faults(|exchange| {
        exchange.path.contains("/blobs/").then_some(mirror_testkit::Fault::Hang)
    });
    let runner = Runner::new(project);
    let script = script("apply.yml", "apply", "apply");
    // Whoever runs the tests in the background has them ignore SIGINT, and a shell can't trap what it was started to
    // ignore. Perl, which every Debian and Ubuntu has, undoes that: not every `env` knows --default-signal.
    let mut child = Command::new("perl")
        .args(["-e", "$SIG{INT} = 'DEFAULT'; exec @ARGV", "bash", "-e", "-c", &script])
        .current_dir(runner.project.path())
        .env_clear()
        .envs([("PATH", runner.path.as_str()), ("SHARD", "1/1"), ("IMAGES", "images")])
        .env("HOME", runner.temporary.path())
        .spawn()
        .unwrap();
    let asked = || source.take_requests().iter().any(|request| request.path.contains("/blobs/"));
    while !asked() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    crate::send("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = std::fs::read_to_string(runner.project.path().join("report-1.json")).unwrap();
    assert!(report.contains("\"cancelled\": 1"), "{report}");
}

#[test]
fn a_pull_request_that_is_wrong() {
    let project = Project::new();
    project.write("images/docker.io/library/redis/Dockerfile", "FROM redis\n");
    commit(&project, "wrong");
    let runner = Runner::new(project);
    assert_eq!(runner.step("plan-job.yml", "plan", "check", &[]), 2);
    assert!(
        runner
            .written("said")
            .contains("::error file=images/docker.io/library/redis/Dockerfile,line=1")
    );
    assert_eq!(runner.step("plan-job.yml", "plan", "plan", &[("SINCE", "")]), 2);
    // Without a destination nothing is copied, and that is said.
    std::fs::write(
        runner.project.path().join("images/docker.io/library/redis/Dockerfile"),
        "FROM redis:7\n",
    )
    .unwrap();
    runner.works("apply.yml", "plan", "plan", &[("SHARDS", "4")]);
    assert_eq!(runner.written("GITHUB_OUTPUT"), "matrix={\"shard\":[]}\n");
}

/// A runner with one image, whose source and destination want a password.
fn locked() -> (Registry, Registry, Runner) {
    let password = || AuthProfile::Basic("me".into(), "secret".into());
    let registry = || Registry::with(Profile { auth: password(), ..Profile::default() });
    let (source, destination) = (registry(), registry());
    source.add("library/app", "1", &ImageBuilder::new("app").build());
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1");
    commit(&project, "base");
    (source, destination, Runner::new(project))
}

/// The variables that log in to registries.
fn passwords(registries: &[&Registry]) -> Vec<(String, &'static str)> {
    let name =
        |registry: &&Registry| format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_"));
    registries.iter().map(|registry| (name(registry), "me:secret")).collect()
}

#[test]
fn nothing_but_missing_credentials_is_passed_over() {
    let (source, destination, runner) = locked();
    let plan = |more: &[(String, &'static str)], lenient: &str| {
        let more = more.iter().map(|(name, value)| (name.as_str(), *value));
        let variables: Vec<_> =
            [("SINCE", ""), ("LENIENT", lenient)].into_iter().chain(more).collect();
        runner.step("plan-job.yml", "plan", "plan", &variables)
    };
    let all = passwords(&[&source, &destination]);
    assert_eq!((plan(&[], "true"), plan(&[], "false"), plan(&all, "false")), (0, 1, 0));
    assert_eq!(plan(&passwords(&[&source]), "true"), 0);
    // An image that is not there, with credentials that could see it, and a registry that is not there.
    runner.project.entry("missing:1");
    assert_eq!(plan(&all, "true"), 1);
    std::fs::remove_dir_all(runner.project.path().join("images/docker.io/library/missing"))
        .unwrap();
    runner.project.entry("127.0.0.1:1/nobody:1");
    assert_eq!(plan(&all, "true"), 1);
}

#[test]
fn a_pull_request_is_planned_by_the_connections_of_its_base() {
    let (source, destination, runner) = locked();
    let thief = Registry::with(Profile {
        auth: AuthProfile::Basic("me".into(), "secret".into()),
        ..Profile::default()
    });
    let config = runner.project.path().join("images/mirror.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&source.host(), &thief.host())).unwrap();
    commit(&runner.project, "pull request");
    let all = passwords(&[&source, &destination, &thief]);
    let more = all.iter().map(|(name, value)| (name.as_str(), *value));
    let variables: Vec<_> =
        [("SINCE", "HEAD^1"), ("LENIENT", "false")].into_iter().chain(more).collect();
    runner.works("plan-job.yml", "plan", "plan", &variables);
    assert!(
        runner.written("said").contains("configuration changes: "),
        "{}",
        runner.written("said")
    );
    assert!(thief.take_requests().is_empty());
}

#[test]
fn layers_are_cached_only_where_nobody_had_to_log_in() {
    let (_source, _destination, runner) = locked();
    let kept = |reported: &str| {
        let _ = std::fs::remove_file(runner.file("GITHUB_OUTPUT"));
        runner.project.write(".spool/part", "x").write("report-1.json", reported);
        runner.works("apply.yml", "apply", "what is half way", &[]);
        runner.written("GITHUB_OUTPUT").contains("keep=true")
    };
    assert!(kept(r#"{"authenticated_sources":[]}"#));
    assert!(!kept(r#"{"authenticated_sources":["docker.io"]}"#));
    assert!(!kept("{}") && !kept(""), "nor where nobody says so");
}

#[test]
fn what_several_machines_have_learned_is_put_together() {
    let runner = Runner::new(Project::new());
    let known = |name: &str, value: serde_json::Value| {
        runner.project.write(name, &value.to_string());
    };
    let of = |digest: &str| serde_json::json!({ "digest": digest, "referrers": [] });
    let image =
        |name: &str| serde_json::json!({ "at": "r.io", "repository": name, "digest": "sha256:1" });
    known(
        "remembered.json",
        serde_json::json!({
            "signatures": [image("settled"), image("kept")],
            "sparse": [],
            "attached": { "a:1": of("old"), "b:1": of("old"), "gone:1": of("old") },
        }),
    );
    // Each begins with all that was known, and changes what it has worked on.
    known(
        "reports/learned-1.json",
        serde_json::json!({
            "signatures": [image("kept"), image("new")],
            "sparse": [],
            "attached": { "a:1": of("new"), "b:1": of("old"), "gone:1": of("old") },
        }),
    );
    known(
        "reports/learned-2.json",
        serde_json::json!({
            "signatures": [image("settled"), image("kept")],
            "sparse": [image("sparse")],
            "attached": { "a:1": of("old"), "b:1": of("old"), "c:1": of("new") },
        }),
    );
    runner.works("apply.yml", "report", "what the next run should know", &[]);
    let found = runner.written(".cache/mirror-spool/remembered/images.json");
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let expected = serde_json::json!({
        "signatures": [image("kept"), image("new")],
        "sparse": [image("sparse")],
        "attached": { "a:1": of("new"), "b:1": of("old"), "c:1": of("new") },
    });
    assert_eq!(found, expected);
    assert!(runner.written("GITHUB_OUTPUT").contains("keep=true"));
}
