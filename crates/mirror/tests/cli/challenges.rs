//! Registries that want to know who we are in a way of their own: for each repository, or without a word.

use std::time::{Duration, Instant};

use mirror_testkit::{
    AuthProfile, Fault, Image, ImageBuilder, Mirror, Profile, Recorded, Registry,
};

use crate::Project;

/// Two images in two repositories of their own, with six layers each.
fn images() -> Vec<(&'static str, Image)> {
    let build = |name| ImageBuilder::new(name).layers(&[900, 800, 700, 600, 500, 400]).build();
    vec![("library/a", build("a")), ("library/b", build("b"))]
}

fn variable(registry: &Registry) -> (String, &'static str) {
    (format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_")), "me:secret")
}

struct Scene {
    source: Registry,
    destination: Registry,
    project: Project,
    images: Vec<(&'static str, Image)>,
}

impl Scene {
    fn new(source: Profile, destination: Profile) -> Scene {
        let (source, destination) = (Registry::with(source), Registry::with(destination));
        let project = Project::new();
        project.config(&source.host(), &destination.host());
        let images = images();
        for (name, image) in &images {
            source.add(name, "1", image);
            project.entry(&format!("docker.io/{name}:1"));
        }
        Scene { source, destination, project, images }
    }

    fn mirror(&self, arguments: &[&str]) -> Mirror {
        let ((source, login), (destination, _)) =
            (variable(&self.source), variable(&self.destination));
        self.project.mirror(arguments).env(&source, login).env(&destination, login)
    }

    /// Copies, and tells what the destination was asked.
    fn apply(&self) -> Vec<Recorded> {
        self.mirror(&["apply"]).run();
        for (name, image) in &self.images {
            assert!(self.destination.holds(&format!("docker.io/{name}"), image), "{name}");
        }
        let asked = self.destination.take_requests();
        self.mirror(&["plan", "--exit-code"]).run();
        self.mirror(&["verify"]).run();
        self.destination.take_requests();
        asked
    }
}

fn count(requests: &[Recorded], which: impl Fn(&Recorded) -> bool) -> usize {
    requests.iter().filter(|request| which(request)).count()
}

fn bearer() -> Profile {
    Profile { auth: AuthProfile::bearer("me", "secret"), ..Profile::default() }
}

#[test]
fn each_repository_has_a_token_service_of_its_own() {
    let profile = || Profile { token_services: true, ..bearer() };
    let scene = Scene::new(profile(), profile());
    let asked = scene.apply();
    // One refusal and one token for each repository, and one question to the wrong token service for the second.
    assert_eq!(count(&asked, |r| r.status == 401 && !r.path.starts_with("/token")), 2);
    assert_eq!(count(&asked, |r| r.path.starts_with("/token")), 3);
    let puts = |r: &Recorded| r.method == "PUT" && r.path.contains("/uploads/");
    assert_eq!(count(&asked, puts), 14, "each blob is sent once");
}

#[test]
fn each_repository_is_asked_in_another_way() {
    // One repository wants a token, the other user and password, as Nexus has it with `forceBasicAuth`.
    let basic = Box::new(AuthProfile::Basic("me".into(), "secret".into()));
    for one in ["library/a", "library/b"] {
        let auth = AuthProfile::Split(one, basic.clone(), Box::new(bearer().auth));
        let scene = Scene::new(Profile::default(), Profile { auth, ..Profile::default() });
        let asked = scene.apply();
        assert_eq!(count(&asked, |r| r.status == 401), 2, "{asked:#?}");
    }
}

#[test]
fn a_token_that_is_refused_early_is_renewed_where_it_came_from() {
    // The first token is refused after a while, or for the bytes of a blob, and another realm is named, where nobody is.
    for for_bytes in [false, true] {
        let scene = Scene::new(Profile::default(), bearer());
        scene.destination.set_faults(move |exchange| {
            let early = match for_bytes {
                true => exchange.method == "PUT" && exchange.path.contains("/uploads/"),
                false => exchange.number > 8,
            };
            let refused = early && exchange.authorization.as_deref() == Some("Bearer token-0");
            refused.then(|| Fault::Challenge("Bearer realm=\"http://127.0.0.1:9/t\"".to_owned()))
        });
        scene.apply();
    }
}

#[test]
fn a_registry_that_is_silent_to_strangers_is_told_who_we_are() {
    for status in [401, 403, 404] {
        for auth in
            [AuthProfile::bearer("me", "secret"), AuthProfile::Basic("me".into(), "secret".into())]
        {
            let profile =
                || Profile { auth: auth.clone(), silent: Some(status), ..Profile::default() };
            let scene = Scene::new(profile(), profile());
            let asked = scene.apply();
            assert_eq!(count(&asked, |r| r.path == "/v2/"), 1, "{status} {auth:?}");
            let strange = |r: &Recorded| r.authorization.is_none() && !r.path.starts_with("/token");
            assert_eq!(count(&asked, strange), 2, "{status} {auth:?}");
        }
    }
}

#[test]
fn user_and_password_are_tried_where_nothing_says_how() {
    let auth = AuthProfile::Basic("me".into(), "secret".into());
    let profile = Profile { auth, silent: Some(403), ..Profile::default() };
    let scene = Scene::new(Profile::default(), profile);
    scene.destination.set_faults(|exchange| {
        (exchange.path == "/v2/").then(|| Fault::Answer(200, "application/json", "{}".to_owned()))
    });
    scene.apply();
}

#[test]
fn a_refusal_that_says_how_to_log_in_is_answered_whatever_its_status() {
    for status in [403, 404] {
        let scene = Scene::new(bearer(), Profile::default());
        let own = scene.source.endpoint();
        scene.source.set_faults(move |exchange| {
            let challenge = format!("Bearer realm=\"{own}/token\",service=\"test\"");
            let base = Fault::Answer(200, "application/json", "{}".to_owned());
            let stranger = exchange.authorization.is_none() && exchange.path.starts_with("/v2/");
            let refusal =
                Fault::Reply(status, vec![("www-authenticate", challenge)], Default::default());
            stranger.then(|| if exchange.path == "/v2/" { base } else { refusal })
        });
        scene.apply();
        let asked = scene.source.take_requests();
        assert_eq!(count(&asked, |r| r.path == "/v2/"), 0, "{asked:#?}");
    }
}

#[test]
fn what_others_learn_meanwhile_does_not_make_a_stranger_of_anybody() {
    let auth = AuthProfile::Split("open", Box::default(), Box::new(bearer().auth));
    let source = Profile { auth, silent: Some(404), ..Profile::default() };
    let mut scene = Scene::new(source, Profile::default());
    let open = ("library/0-open", ImageBuilder::new("open").build());
    scene.source.add(open.0, "1", &open.1);
    scene.project.entry(&format!("docker.io/{}:1", open.0));
    scene.images.push(open);
    // Both strangers are on their way when the first of them is asked who it is.
    let own = scene.source.endpoint();
    scene.source.set_faults(move |exchange| {
        let challenge = format!("Bearer realm=\"{own}/token\",service=\"test\"");
        match exchange.path.split('/').nth(3) {
            _ if exchange.authorization.is_some() => None,
            Some("a") => Some(Fault::Challenge(challenge)),
            Some("b") => Some(Fault::Delay(Duration::from_millis(700))),
            _ => None,
        }
    });
    scene.apply();
}

#[test]
fn a_token_service_of_one_repository_that_is_of_no_use_is_no_matter_of_others() {
    for realm in
        ["http://127.0.0.1:9/token", "ftp://x/token", "http://auth.example/token", "/broken"]
    {
        let scene = Scene::new(bearer(), Profile::default());
        let challenge = format!("Bearer realm=\"{realm}\",service=\"test\"");
        scene.source.set_faults(move |exchange| match exchange.path.as_str() {
            path if path.starts_with("/v2/library/a/") => Some(Fault::Challenge(challenge.clone())),
            "/broken" => Some(Fault::refuse(501, "UNSUPPORTED", "no tokens")),
            _ => None,
        });
        let ran = scene.mirror(&["apply"]).ends_with(1).run();
        let (name, image) = &scene.images[1];
        assert!(scene.destination.holds(&format!("docker.io/{name}"), image), "{}", ran.stdout);
        assert!(ran.stdout.contains("1 copied, 0 unchanged, 1 failed"), "{realm}: {}", ran.stdout);
    }
}

#[test]
fn a_base_that_does_not_answer_is_not_waited_for_again() {
    for fault in [Fault::Hang, Fault::Reset] {
        let scene = Scene::new(Profile::default(), Profile::default());
        scene
            .destination
            .set_faults(move |exchange| (exchange.path == "/v2/").then(|| fault.clone()));
        let began = Instant::now();
        let asked = scene.apply();
        assert!(count(&asked, |r| r.path == "/v2/") <= 2, "{asked:#?}");
        assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    }
}

#[test]
fn nobody_is_asked_more_where_there_is_nothing_to_say() {
    let scene = Scene::new(Profile::default(), Profile::default());
    for mirror in [scene.project.mirror(&["apply"]), scene.mirror(&["apply"])] {
        mirror.run();
        let asked = [scene.source.take_requests(), scene.destination.take_requests()].concat();
        assert_eq!(count(&asked, |r| r.authorization.is_some()), 0, "{asked:#?}");
        let base = count(&asked, |r| r.path == "/v2/");
        assert!(
            base <= 2,
            "once for each host where something is missing and credentials are known"
        );
    }
}
