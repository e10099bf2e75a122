//! Lists of tags, as registries send them: of any size, in pages of any size, with any `Link`.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;

use mirror_failure::{ErrorKind, RequestError};
use mirror_registry::{Access, Credentials, Host, HostOptions, Remote, World};
use mirror_testkit::{Exchange, Fault, Registry};

/// A server of tags: how it makes pages, and how it names the next one.
#[derive(Clone, Copy)]
struct Server {
    tags: usize,
    page: usize,
    /// The most that may be asked for.
    most: usize,
    link: Link,
}

/// How the next page is named, from its last tag, where that is, and the path.
type Link = fn(&str, usize, &str) -> Option<String>;

/// What a query has under a name.
fn parameter(exchange: &Exchange, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(exchange.query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Server {
    fn new(tags: usize, page: usize) -> Server {
        let link =
            |last: &str, _: usize, path: &str| Some(format!("<{path}?last={last}>; rel=\"next\""));
        Server { tags, page, most: usize::MAX, link }
    }

    fn answer(self, exchange: &Exchange) -> Option<Fault> {
        if !exchange.path.ends_with("/tags/list") {
            return None;
        }
        let wanted = parameter(exchange, "n").map(|n| n.parse::<usize>().unwrap());
        if wanted.is_some_and(|wanted| wanted > self.most) {
            return Some(Fault::refuse(
                400,
                "PAGINATION_NUMBER_INVALID",
                "invalid number of results requested",
            ));
        }
        let last = parameter(exchange, "last")
            .map_or(0, |last| last.trim_start_matches('v').parse::<usize>().unwrap() + 1);
        let end = (last + self.page).min(self.tags);
        let tags: Vec<String> = (last..end).map(name).collect();
        let link = tags.last().filter(|_| end < self.tags);
        let link = link.and_then(|tag| (self.link)(tag, end, &exchange.path));
        let body = serde_json::json!({ "name": "app", "tags": tags }).to_string();
        let headers = link.map(|link| ("link", link)).into_iter().collect();
        Some(Fault::Reply(200, headers, body.into()))
    }
}

fn name(number: usize) -> String {
    format!("v{number:05}")
}

async fn tags(server: Server) -> (Result<Vec<String>, RequestError>, usize) {
    let registry = Registry::start();
    registry.set_faults(move |exchange| server.answer(exchange));
    let name = registry.host().parse().unwrap();
    let credentials = Arc::new(Credentials::default());
    let host = Host::new(&World::real(), credentials, &name, &HostOptions::default());
    let remote = Remote::new(Arc::new(host.unwrap()), "app".parse().unwrap(), Access::Pull);
    let found = remote.tags().await;
    (found, registry.take_requests().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_any_size_and_in_pages_of_any_size() {
    for (all, page, requests) in [
        (0, 100, 1),
        (7, 100, 1),
        (49, 1000, 1),
        // Nobody can tell whether that is all: asked once more.
        (100, 1000, 2),
        (1000, 1000, 2),
        (5432, 50, 109),
        (12_345, 100, 124),
        (60_000, usize::MAX / 2, 2),
    ] {
        let (found, asked) = tags(Server::new(all, page)).await;
        assert_eq!(found.unwrap(), (0..all).map(name).collect::<Vec<_>>(), "{all} in {page}");
        assert_eq!(asked, requests, "{all} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_fewer_may_be_asked_for() {
    let server = Server { most: 500, ..Server::new(1234, 100) };
    let (found, asked) = tags(server).await;
    assert_eq!((found.unwrap().len(), asked), (1234, 14));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_link_is_like() {
    let links: [Link; 7] = [
        |last, _, _| {
            Some(format!(
                "<http://internal:8081/repository/docker/v2/app/tags/list?n=9&last={last}>; rel=\"next\""
            ))
        },
        |last, _, _| {
            Some(format!("</artifactory/api/docker/x/v2/app/tags/list?last={last}>; rel=next"))
        },
        |last, _, _| Some(format!("<?last={last}>; rel='next'")),
        |last, _, _| {
            Some(format!(
                "</a?x>; rel=\"first\", </b?last={last}&n=3>; title=\"a, b\"; rel=\"next\""
            ))
        },
        |last, _, path| Some(format!("<{path}?last={last}>")),
        |last, _, path| Some(format!("<{path}?last={last}#end>; REL=NEXT")),
        // None at all, though there is more.
        |_, _, _| None,
    ];
    for (number, link) in links.into_iter().enumerate() {
        let (found, _) = tags(Server { link, ..Server::new(330, 100) }).await;
        assert_eq!(found.unwrap().len(), 330, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_short_is_not_taken_for_whole() {
    let links: [(Link, &str); 4] = [
        (
            |_, _, _| Some("nonsense".to_owned()),
            "its `Link` to the next page can't be read: nonsense",
        ),
        (
            |_, _, path| Some(format!("<{path}>; rel=\"next\"")),
            "its `Link` to the next page can't be read: <",
        ),
        (
            |last, _, path| Some(format!("<{path}?last={last}; rel=\"next\"")),
            "its `Link` to the next page can't be read: <",
        ),
        // A circle.
        (
            |_, _, path| Some(format!("<{path}?last=v00009>; rel=\"next\"")),
            "the next page is one that was read before",
        ),
    ];
    for (link, says) in links {
        let (found, asked) = tags(Server { link, ..Server::new(330, 100) }).await;
        let error = found.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Protocol(why) if why.contains(says)), "{error}");
        assert!(asked < 5, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_any_order_and_twice() {
    let registry = Registry::start();
    registry.set_faults(|exchange| {
        let more = exchange.query.contains("last=b");
        let tags = if more { r#"["c","a"]"# } else { r#"["z","b"]"# };
        let headers = vec![("link", "<?last=b>; rel=next".to_owned())];
        let headers = if more { Vec::new() } else { headers };
        Some(Fault::Reply(200, headers, format!(r#"{{"tags":{tags}}}"#).into()))
    });
    let name = registry.host().parse().unwrap();
    let credentials = Arc::new(Credentials::default());
    let host = Host::new(&World::real(), credentials, &name, &HostOptions::default());
    let remote = Remote::new(Arc::new(host.unwrap()), "app".parse().unwrap(), Access::Pull);
    assert_eq!(remote.tags().await.unwrap(), ["z", "b", "c", "a"]);
}
