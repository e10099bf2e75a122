//! Plans for pull requests: connections are made by the configuration of the base.

use expect_test::expect;
use mirror_testkit::{
    AuthProfile, Authority, DebianRegistry, FakeEcr, Flaw, Image, ImageBuilder, Mirror, Profile,
    Registry, missing_tool, push_by_skopeo,
};

use crate::Project;
use crate::scope::{commit, git};

const NEW: &str = "new in this pull request; not checked before it is merged";

/// A source and a destination that want a password, and a commit that mirrors one image from one to the other.
struct Request {
    source: Registry,
    destination: Registry,
    project: Project,
    image: Image,
}

fn private() -> Registry {
    Registry::with(Profile {
        auth: AuthProfile::Basic("me".into(), "secret".into()),
        ..Profile::default()
    })
}

impl Request {
    fn new() -> Request {
        let (source, destination) = (private(), private());
        let project = Project::new();
        project.config(&source.host(), &destination.host()).entry("app:1");
        let image = ImageBuilder::new("app").build();
        source.add("library/app", "1", &image);
        git(project.path(), &["init", "--quiet"]);
        commit(&project, "base");
        Request { source, destination, project, image }
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.project.path().join("images/mirror.toml")).unwrap()
    }

    /// `mirror` with the password for every registry of the test.
    fn mirror(&self, arguments: &[&str], others: &[&Registry]) -> Mirror {
        let known = [&self.source, &self.destination];
        let all = known.iter().chain(others);
        all.fold(self.project.mirror(arguments), |mirror, registry| {
            let name = format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_"));
            mirror.env(&name, "me:secret")
        })
    }

    fn plan(&self, others: &[&Registry]) -> String {
        self.mirror(&["plan", "--config-from", "HEAD"], others).run().stdout
    }
}

#[test]
fn certificates_are_those_of_the_base_whatever_a_pull_request_makes_of_the_files() {
    if missing_tool("docker-registry") || missing_tool("openssl") || missing_tool("skopeo") {
        return;
    }
    let (ours, theirs) = (Authority::new(), Authority::new());
    let registry = DebianRegistry::with_tls(&ours.server(Flaw::None), None);
    let image = ImageBuilder::new("app").build();
    push_by_skopeo(&image, &format!("{}/library/app:1", registry.host()));
    let (destination, project) = (Registry::start(), Project::new());
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"https://{}\"\nca = \"certificates/ca.pem\"\n",
        destination.host(),
        registry.host()
    );
    let text = |authority: &Authority| std::fs::read_to_string(authority.certificate()).unwrap();
    project.write("images/mirror.toml", &config).entry("app:1");
    git(project.path(), &["init", "--quiet"]);
    // Who may change the file decides whom to trust, whether he adds the right one or another.
    for (base, now, trusted) in [(&theirs, &ours, false), (&ours, &theirs, true)] {
        project.write("certificates/ca.pem", &text(base));
        commit(&project, "base");
        project.write("certificates/ca.pem", &text(now));
        let plan = project.mirror(&["plan", "--config-from", "HEAD"]);
        let ran = plan.ends_with(if trusted { 0 } else { 1 }).run();
        assert_eq!(
            !ran.stdout.contains("if an authority of your own has signed it"),
            trusted,
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains("  certificates/ca.pem: "), "{}", ran.stdout);
    }
    // What was not there is not trusted, and what is as it was is no change.
    std::fs::remove_file(project.path().join("certificates/ca.pem")).unwrap();
    commit(&project, "without");
    project.write("certificates/ca.pem", &text(&ours));
    let ran = project.mirror(&["plan", "--config-from", "HEAD"]).ends_with(1).run();
    assert!(ran.stdout.contains("  certificates/ca.pem: none → "), "{}", ran.stdout);
    commit(&project, "with");
    let ran = project.mirror(&["plan", "--config-from", "HEAD"]).run();
    assert!(!ran.stdout.contains("configuration changes"), "{}", ran.stdout);
}

#[test]
fn an_endpoint_that_a_pull_request_changes_is_shown_and_not_used() {
    let (request, thief) = (Request::new(), private());
    let changed = request.configuration().replace(&request.source.host(), &thief.host());
    let more = format!(
        "token_realm = \"{0}\"\nalternatives = [\"{1}\"]\n",
        thief.endpoint(),
        thief.host()
    );
    request.project.write("images/mirror.toml", &(changed + &more));
    let shown = request.plan(&[&thief]);
    let expected = format!(
        "configuration changes: in force after the merge\n  registry.\"docker.io\".alternatives: none → [{0}]\n  registry.\"docker.io\".endpoint: http://{1} → http://{0}\n  registry.\"docker.io\".token_realm: none → http://{0}\n",
        thief.host(),
        request.source.host()
    );
    assert!(shown.starts_with(&expected), "{shown}");
    assert!(shown.contains("plan: 1 to create, 0 to update, 0 unchanged"), "{shown}");
    assert_eq!(thief.take_requests().len(), 0);
    let page =
        request.mirror(&["plan", "--config-from", "HEAD", "--format", "markdown"], &[]).run();
    let first = page.stdout.lines().nth(2).unwrap();
    assert_eq!(first, "**configuration changes**, in force after the merge:");
    // Without it, the pull request is obeyed.
    request.mirror(&["plan"], &[&thief]).ends_with(1).run();
    assert!(thief.take_requests().iter().any(|asked| asked.authorization.is_some()));
}

#[test]
fn a_destination_that_the_base_does_not_know_is_looked_at_after_the_merge() {
    let (request, thief) = (Request::new(), private());
    let more = format!("[[destination]]\nname = \"more\"\nregistry = \"{}\"\n", thief.host());
    request.project.write("images/mirror.toml", &(more + &request.configuration()));
    let shown = request.plan(&[&thief]);
    let expected = format!(
        "note: {NEW}: the destination `more` at {}\n  docker.io/library/app:1\n",
        thief.host()
    );
    assert!(shown.contains(&expected), "{shown}");
    assert!(
        shown.contains("plan: 1 to create, 0 to update, 0 unchanged, 1 checked after the merge"),
        "{shown}"
    );
    assert_eq!(thief.take_requests().len(), 0);
    // Such a plan leaves something out, and is not for applying.
    let out = ["plan", "--config-from", "HEAD", "--out", "mirror.plan"];
    request.mirror(&out, &[]).run();
    let ran = request.mirror(&["apply", "mirror.plan"], &[]).ends_with(5).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan mirror.plan can't be applied
          caused by: it was made for a pull request and leaves out what is new there
          help: look again: `mirror plan --out FILE`
    "#]],
    );
    assert!(request.destination.tags().is_empty());
}

#[test]
fn a_source_that_the_base_does_not_know_gets_no_password() {
    let (request, closed, open) = (Request::new(), private(), Registry::start());
    open.add("team/tool", "1", &request.image);
    for registry in [&closed, &open] {
        request.project.entry(&format!("{}/team/tool:1", registry.host()));
    }
    let shown = request.plan(&[&closed, &open]);
    let asked = |registry: &Registry| {
        format!("note: {NEW}: {} was asked without credentials\n", registry.host())
    };
    assert!(shown.contains(&asked(&closed)) && shown.contains(&asked(&open)), "{shown}");
    let refused =
        format!("note: {NEW}: the registry {}, asked without credentials: ", closed.host());
    assert!(shown.contains(&refused), "{shown}");
    assert!(
        shown.contains("plan: 2 to create, 0 to update, 0 unchanged, 1 checked after the merge"),
        "{shown}"
    );
    for registry in [&closed, &open] {
        let requests = registry.take_requests();
        assert!(!requests.is_empty() && requests.iter().all(|asked| asked.authorization.is_none()));
    }
    // One that the pull request leads to a place of its choice is not asked at all.
    let base = request.configuration();
    let elsewhere =
        format!("{base}\n[registry.\"{}\"]\nendpoint = \"{}\"\n", closed.host(), closed.endpoint());
    request.project.write("images/mirror.toml", &elsewhere);
    let shown = request.plan(&[&closed]);
    let expected = format!("note: {NEW}: the registry {} and how it is reached\n", closed.host());
    assert!(shown.contains(&expected), "{shown}");
    assert_eq!(closed.take_requests().len(), 0);
}

#[test]
fn a_base_without_a_configuration_or_with_a_broken_one_knows_no_destination() {
    for before in [None, Some("destination = 1\n")] {
        let request = Request::new();
        let configuration = request.configuration();
        let file = request.project.path().join("images/mirror.toml");
        match before {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        git(request.project.path(), &["add", "--all"]);
        commit(&request.project, "before");
        request.project.write("images/mirror.toml", &configuration);
        let shown = request.plan(&[]);
        assert!(shown.contains(&format!("note: {NEW}: the destination `prod` at ")), "{shown}");
        assert!(
            shown.contains("0 to create, 0 to update, 0 unchanged, 1 checked after"),
            "{shown}"
        );
        assert_eq!(
            request.destination.take_requests().len() + request.source.take_requests().len(),
            0
        );
    }
}

#[test]
fn a_tree_that_needs_no_configuration_is_planned() {
    let request = Request::new();
    std::fs::remove_file(request.project.path().join("images/mirror.toml")).unwrap();
    std::fs::remove_dir_all(request.project.path().join("images/docker.io")).unwrap();
    let open = Registry::start();
    open.add("team/app", "1", &request.image);
    request.project.entry(&format!("{}/team/app:1", open.host()));
    commit(&request.project, "nothing but the tree");
    let shown = request.plan(&[]);
    assert!(shown.contains("plan: 1 to create, 0 to update, 0 unchanged\n"), "{shown}");
}

#[test]
fn a_role_that_a_pull_request_names_is_not_taken() {
    let (request, ecr) = (Request::new(), FakeEcr::start(&["eu-central-1"]));
    let name = FakeEcr::name("eu-central-1");
    let more = format!("[registry.\"{name}\"]\nrole = \"arn:aws:iam::123456789012:role/admin\"\n");
    request.project.write("images/mirror.toml", &(request.configuration() + &more));
    request.project.entry(&format!("{name}/team/app:1"));
    let plan = request.mirror(&["plan", "--config-from", "HEAD"], &[]);
    let plan = plan.env("AWS_ENDPOINT_URL", ecr.endpoint());
    let ran = plan.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x").run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        configuration changes: in force after the merge
          registry."123456789012.dkr.ecr.eu-central-1.amazonaws.com".role: none → arn:aws:iam::123456789012:role/admin

        prod
          + docker.io/library/app:1  new → sha256:de4627c91d02  2.5 KiB

        note: new in this pull request; not checked before it is merged: the registry 123456789012.dkr.ecr.eu-central-1.amazonaws.com and how it is reached
          123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app:1
        plan: 1 to create, 0 to update, 0 unchanged, 1 checked after the merge
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    assert_eq!(ecr.take_calls().len(), 0);
}

#[test]
fn a_commit_that_is_not_there_is_told() {
    let request = Request::new();
    let ran = request.mirror(&["plan", "--config-from", "nowhere"], &[]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not read the configuration at nowhere
          caused by: the commit `nowhere` is not in this clone
          help: name a commit, branch or tag. A shallow clone lacks older ones: run `git fetch --depth 1 origin nowhere`
    "#]],
    );
}
