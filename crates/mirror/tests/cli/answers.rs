//! Answers that are not what they seem: pages where something was written, mounts that were never made, refusals to look at
//! what can be read, addresses of somebody else, and secrets that are repeated.

use mirror_testkit::{Exchange, Fault, Image, ImageBuilder, Recorded, Registry};

use crate::Pair;
use crate::referrers::attach;

const REPOSITORY: &str = "docker.io/library/app";

fn image() -> Image {
    ImageBuilder::new("app").layers(&[90_000, 700]).build()
}

fn pair(image: &Image) -> Pair {
    Pair::new(&[("library/app", "1", image)])
}

fn count(requests: &[Recorded], method: &str, path: &str) -> usize {
    requests.iter().filter(|r| r.method == method && r.path.contains(path)).count()
}

fn page() -> Fault {
    Fault::Answer(200, "text/html; charset=utf-8", "<html><title>Log in</title>".to_owned())
}

#[test]
fn a_page_is_no_answer_to_what_is_written() {
    for (path, says) in [
        ("/manifests/", "this is not a container registry: it answers 200 with an HTML page"),
        ("/blobs/uploads/", "this is not a container registry: it answers 200 with an HTML page"),
    ] {
        let image = image();
        let pair = pair(&image);
        pair.destination.set_faults(move |exchange| {
            (exchange.method == "PUT" && exchange.path.contains(path)).then(page)
        });
        let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
        assert!(pair.destination.manifest(REPOSITORY, "1").is_none());
        assert_eq!(
            count(&pair.destination.take_requests(), "PUT", "/manifests/1"),
            usize::from(path == "/manifests/")
        );
    }
    // Some web frameworks call an empty body so.
    let image = image();
    let pair = pair(&image);
    pair.destination.set_faults(|exchange| {
        let put = exchange.method == "PUT";
        put.then(|| Fault::Header("content-type", "text/html; charset=utf-8".to_owned()))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds(REPOSITORY, &image));
}

#[test]
fn documents_that_are_called_pages_are_read() {
    let image = image();
    let pair = pair(&image);
    let called = |exchange: &Exchange| {
        let manifest = exchange.path.contains("/manifests/") && exchange.method != "PUT";
        manifest.then(|| Fault::Header("content-type", "text/html".to_owned()))
    };
    pair.source.set_faults(called);
    pair.project.mirror(&["apply"]).run();
    pair.destination.set_faults(called);
    pair.project.mirror(&["verify"]).run();
    pair.project.mirror(&["plan", "--exit-code"]).run();
}

#[test]
fn a_mount_that_is_claimed_of_everything_is_not_believed() {
    for location in ["/v2/docker.io/library/app/blobs/", ""] {
        let image = image();
        let pair = pair(&image);
        pair.destination.set_faults(move |exchange| {
            let mount = exchange.method == "POST" && exchange.query.contains("mount=");
            let location = vec![("location", location.to_owned())];
            mount.then(|| Fault::Reply(201, location, Default::default()))
        });
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds(REPOSITORY, &image));
        let asked = pair.destination.take_requests();
        assert_eq!(count(&asked, "PUT", "/manifests/"), 1, "{asked:#?}");
        assert_eq!(count(&asked, "PUT", "/blobs/uploads/"), 3, "{asked:#?}");
    }
}

#[test]
fn what_can_be_read_is_there_whatever_a_head_says() {
    for status in [400, 405, 406, 410, 416, 501] {
        let image = image();
        let pair = pair(&image);
        let no_head = move |exchange: &Exchange| {
            (exchange.method == "HEAD").then(|| Fault::refuse(status, "UNSUPPORTED", "no HEAD"))
        };
        pair.source.set_faults(no_head);
        pair.destination.set_faults(no_head);
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds(REPOSITORY, &image), "{status}");
        pair.project.mirror(&["plan", "--exit-code"]).run();
        pair.project.mirror(&["verify"]).run();
    }
    // Denied to a HEAD, until somebody gets it: a cache of another registry.
    let image = image();
    let pair = pair(&image);
    pair.source.set_faults(|exchange| {
        (exchange.method == "HEAD").then(|| Fault::refuse(404, "MANIFEST_UNKNOWN", "unknown"))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds(REPOSITORY, &image));
}

#[test]
fn nothing_is_sent_a_third_time_to_a_registry_that_denies_what_it_has() {
    let image = image();
    let pair = pair(&image);
    pair.destination.set_faults(|exchange| match exchange.method.as_str() {
        "HEAD" => Some(Fault::refuse(404, "BLOB_UNKNOWN", "unknown")),
        "PUT" if exchange.path.contains("/manifests/") => {
            Some(Fault::refuse(400, "MANIFEST_INVALID", "blob unknown to registry"))
        }
        _ => None,
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(
        ran.stdout.contains("the registry does not know what it has just taken"),
        "{}",
        ran.stdout
    );
    let asked = pair.destination.take_requests();
    assert_eq!(count(&asked, "PUT", "/manifests/"), 8);
    assert_eq!(count(&asked, "PUT", "/blobs/uploads/"), 2 * 3);
    assert!(pair.destination.manifest(REPOSITORY, "1").is_none());
}

#[test]
fn uploads_that_lead_to_another_server_are_a_wrong_external_url() {
    for answer in [
        Fault::Answer(401, "application/json", "{}".to_owned()),
        Fault::refuse(404, "NOT_FOUND", "no such path"),
        Fault::Answer(405, "text/html", "<html>".to_owned()),
        page(),
        Fault::Redirect("/login".to_owned()),
    ] {
        let image = image();
        let (pair, other) = (pair(&image), Registry::start());
        let wrong = answer.clone();
        other.set_faults(move |exchange| {
            Some(if exchange.path == "/login" { page() } else { wrong.clone() })
        });
        let location = format!("{}/v2/x/blobs/uploads/1", other.endpoint());
        pair.destination.set_faults(move |exchange| {
            (exchange.method == "POST").then(|| {
                Fault::Reply(202, vec![("location", location.clone())], Default::default())
            })
        });
        let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
        let told = format!("the registry's Location leads to {}, which ", other.host());
        assert!(ran.stdout.contains(&told), "{answer:?}: {}", ran.stdout);
        assert!(ran.stdout.contains("its external URL is misconfigured"), "{}", ran.stdout);
        assert!(count(&other.take_requests(), "PUT", "") <= 6, "one attempt for each blob");
    }
}

#[test]
fn a_blob_that_is_redirected_to_be_read_is_not_sent_there() {
    let image = image();
    let pair = pair(&image);
    pair.destination.set_faults(|exchange| {
        let put = exchange.method == "PUT" && exchange.path.contains("/uploads/");
        let location = vec![("location", "/elsewhere".to_owned())];
        put.then(|| Fault::Reply(302, location, Default::default()))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    let told = format!(
        "the registry redirects a PUT to {} with 302, which is for reading",
        pair.destination.endpoint()
    );
    assert!(ran.stdout.contains(&told), "{}", ran.stdout);
}

#[test]
fn what_a_registry_repeats_of_our_secrets_is_not_shown() {
    let image = image();
    let pair = pair(&image);
    pair.destination.set_faults(|exchange| match &exchange.authorization {
        None => Some(Fault::Challenge("Basic realm=\"x\"".to_owned())),
        Some(sent) => {
            let said = format!("unknown: {sent}, s3cr\\u00e9t, s3cr%C3%A9t");
            Some(Fault::refuse(403, "DENIED", &said))
        }
    });
    let variable = format!("MIRROR_AUTH_{}", pair.destination.host().replace(['.', ':'], "_"));
    let mirror = pair.project.mirror(&["apply", "-v"]).env(&variable, "me:s3crét");
    let ran = mirror.ends_with(1).run();
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("403 DENIED: *** (it repeats what was sent)"), "{said}");
    for secret in ["s3cr", "bWU6czNjcsOpdA"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn old_images_that_may_not_be_read_are_replaced() {
    for (status, code) in [
        (400, "MANIFEST_INVALID"),
        (402, "PAYMENT_REQUIRED"),
        (409, "QUARANTINED"),
        (410, "GONE"),
        (422, "UNPROCESSABLE"),
    ] {
        let (old, new) = (ImageBuilder::new("old").build(), image());
        let pair = pair(&new);
        pair.destination.add(REPOSITORY, "1", &old);
        pair.destination.set_faults(move |exchange| {
            let reads = exchange.method != "PUT" && exchange.path.ends_with("/manifests/1");
            reads.then(|| Fault::refuse(status, code, ""))
        });
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds(REPOSITORY, &new), "{status}");
    }
}

#[test]
fn a_registry_that_needs_every_layer_is_told_from_one_that_needs_a_moment() {
    let image = ImageBuilder::new("windows").foreign_layer().build();
    let pair = pair(&image);
    pair.destination.set_faults(|exchange| {
        let put = exchange.method == "PUT" && exchange.path.contains("/manifests/");
        put.then(|| Fault::refuse(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    let told = "the registry takes no image without its foreign layers: ";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert_eq!(count(&pair.destination.take_requests(), "PUT", "/manifests/"), 4);
}

#[test]
fn a_list_of_signatures_is_read_whatever_it_is_called_and_never_in_part() {
    let image = image();
    let size = image.manifests[0].bytes.len();
    let list = |kind: &'static str| {
        move |exchange: &Exchange| {
            let list = exchange.method == "GET" && exchange.path.contains("/referrers/");
            list.then(|| Fault::Header("content-type", kind.to_owned()))
        }
    };
    for kind in ["application/octet-stream", "text/plain", "application/json"] {
        let pair = pair(&image);
        let signature = attach(&pair.source, "library/app", image.digest(), size);
        pair.source.set_faults(list(kind));
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds(REPOSITORY, &signature), "{kind}");
    }
    for status in [400, 404, 405] {
        let pair = pair(&image);
        attach(&pair.source, "library/app", image.digest(), size);
        pair.source.set_faults(move |exchange| {
            let list = exchange.method == "GET" && exchange.path.contains("/referrers/");
            let next = vec![("link", "<?page=2>; rel=\"next\"".to_owned())];
            let index = r#"{"schemaVersion":2,"manifests":null}"#;
            list.then(|| match exchange.query.contains("page=2") {
                true => Fault::refuse(status, "UNSUPPORTED", "no"),
                false => Fault::Reply(200, next, index.into()),
            })
        });
        let ran = pair.project.mirror(&["apply"]).run();
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("could not look for signatures"), "{status}: {said}");
    }
}
