//! What a pull request may bring along: endpoints for credentials that are not its own, and links that lead out of the
//! tree.

use std::os::unix::fs::symlink;

use mirror_testkit::{FakeEcr, Mirror, Registry};

use crate::Project;

/// A line that must not be seen.
const SECRET: &str = "{\"auths\":{\"quay.io\":{\"auth\":\"c2VjcmV0\"}}}\n";

fn never_shown(mirror: Mirror) -> String {
    let ran = mirror.ends_with(2).run();
    let said = ran.stdout + &ran.stderr;
    assert!(!said.contains("c2VjcmV0") && !said.contains("auths"), "{said}");
    said
}

#[test]
fn an_aws_login_is_refused_for_an_endpoint_elsewhere_by_every_command() {
    let (thief, ecr) = (Registry::start(), FakeEcr::start(&["eu-central-1"]));
    for name in [&FakeEcr::name("eu-central-1"), "public.ecr.aws"] {
        // Not loopback, which tests are allowed: a name that would lead there.
        let port = thief.host().rsplit(':').next().unwrap().to_owned();
        let endpoint = format!("http://ip6-localhost:{port}");
        let project = Project::new();
        project.entry(&format!("{name}/team/app:1")).write(
            "images/mirror.toml",
            &format!("[registry.\"{name}\"]\nendpoint = \"{endpoint}\"\n"),
        );
        for command in ["check", "plan", "apply", "verify", "outdated", "pin"] {
            let mirror = project.mirror(&[command]).env("AWS_ENDPOINT_URL", ecr.endpoint());
            let mirror = mirror.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
            let ran = mirror.ends_with(2).run();
            let said = ran.stdout + &ran.stderr;
            let expected = format!(
                "{endpoint} is not {name}: an AWS login must not go there\n --> images/mirror.toml:2:12"
            );
            assert!(said.contains(&expected), "{command}: {said}");
        }
        assert_eq!((thief.take_requests().len(), ecr.take_calls().len()), (0, 0));
    }
}

#[test]
fn no_link_is_followed_for_the_configuration_and_what_it_names() {
    let project = Project::new();
    project.entry("app:1").write("secrets/config.json", SECRET);
    let images = project.path().join("images");
    symlink("../secrets/config.json", images.join("mirror.toml")).unwrap();
    for command in ["check", "plan", "apply", "bots"] {
        let said = never_shown(project.mirror(&[command]));
        assert!(
            said.contains("`mirror.toml` is a link, and symbolic links are not followed"),
            "{said}"
        );
    }

    std::fs::remove_file(images.join("mirror.toml")).unwrap();
    symlink("../secrets", images.join("policies")).unwrap();
    symlink("../secrets/config.json", images.join("policy.json")).unwrap();
    for (document, link) in [("policies/config.json", "policies"), ("policy.json", "policy.json")] {
        let config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[destination.ecr]\nlifecycle_policy = \"{document}\"\n",
            FakeEcr::name("eu-central-1")
        );
        project.write("images/mirror.toml", &config);
        let said = never_shown(project.mirror(&["check"]));
        assert!(said.contains(&format!("`{link}` is a link, and symbolic")), "{said}");
    }
}

#[test]
fn no_link_is_followed_to_the_tree() {
    let project = Project::new();
    std::fs::remove_dir(project.path().join("images")).unwrap();
    project.write("secrets/mirror.toml", SECRET).write("secrets/Dockerfile", SECRET);
    project.write("inside/keep", "");
    symlink("secrets", project.path().join("images")).unwrap();
    symlink("..", project.path().join("inside/out")).unwrap();
    for command in ["check", "plan", "apply", "bots", "pin"] {
        let said = never_shown(project.mirror(&[command]));
        assert!(
            said.contains("error[config]: `images` is a link, and symbolic links are not"),
            "{said}"
        );
    }
    never_shown(project.mirror(&["check", "--images", "images/"]));
    let said = never_shown(project.mirror(&["check", "--images", "inside/out/secrets"]));
    assert!(said.contains("`inside/out` is a link"), "{said}");
}

#[test]
fn no_link_is_followed_to_the_files_of_the_bots_or_of_a_layout() {
    let project = Project::new();
    project.entry("app:1").write("secrets/config.json", "\"c2VjcmV0\"").write(".git/HEAD", "");
    symlink("secrets/config.json", project.path().join("renovate.json")).unwrap();
    symlink("secrets", project.path().join(".github")).unwrap();
    project.write("secrets/dependabot.yml", SECRET);
    for arguments in [["bots", "--check"], ["bots", "renovate"]] {
        let said = never_shown(project.mirror(&arguments));
        assert!(said.contains("is a link, and symbolic links are not followed"), "{said}");
    }
    let before = std::fs::read_to_string(project.path().join("secrets/dependabot.yml")).unwrap();
    assert_eq!(before, SECRET, "nothing was written there");

    project.write("mirror-store/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    symlink("../secrets/config.json", project.path().join("mirror-store/index.json")).unwrap();
    let ran = project.mirror(&["plan"]).ends_with(1).run();
    assert!(!(ran.stdout.clone() + &ran.stderr).contains("c2VjcmV0"), "{}", ran.stdout);
}
