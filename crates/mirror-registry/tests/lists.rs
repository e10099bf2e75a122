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
        // Nobody can tell whether that is all: asked once more.
        (49, 1000, 2),
        (100, 1000, 2),
        (1000, 1000, 2),
        // The last page of a list whose other pages name the next one is the last.
        (200, 100, 2),
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
async fn pages_of_any_size_that_name_no_other() {
    for cap in [10, 20, 33, 50, 64, 99, 100, 128, 256, 1000] {
        for all in [cap, cap + 1, 3 * cap, 1000] {
            let server = Server { link: |_, _, _| None, ..Server::new(all, cap) };
            let (found, _) = tags(server).await;
            assert_eq!(found.unwrap().len(), all, "{all} in pages of {cap}");
        }
    }
}

async fn tags_at(
    answer: impl Fn(&Exchange) -> Fault + Send + Sync + 'static,
) -> Result<usize, String> {
    let registry = Registry::start();
    registry.set_faults(move |exchange| Some(answer(exchange)));
    let name = registry.host().parse().unwrap();
    let credentials = Arc::new(Credentials::default());
    let host = Host::new(&World::real(), credentials, &name, &HostOptions::default());
    let host = Arc::new(host.unwrap());
    let remote = Remote::new(host, "app".parse().unwrap(), Access::Pull);
    let found = remote.tags().await;
    // What was learned of the host is no reason to ask more.
    let asked = registry.take_requests().len();
    let again = remote.tags().await;
    assert!(registry.take_requests().len() <= asked);
    assert_eq!(found.as_ref().ok(), again.as_ref().ok());
    assert!(asked < 40, "{asked}");
    found.map(|found| found.len()).map_err(|error| error.kind().to_string())
}

fn page(tags: usize, link: Option<String>) -> Fault {
    let tags: Vec<String> = (0..tags).map(name).collect();
    let headers = link.map(|link| ("link", link)).into_iter().collect();
    Fault::Reply(200, headers, serde_json::json!({ "tags": tags }).to_string().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_know_what_to_begin_after() {
    let more = |exchange: &Exchange| parameter(exchange, "last").is_some();
    // It begins anew, or goes on by another name.
    assert_eq!(tags_at(|_| page(100, None)).await, Ok(100));
    let named = |exchange: &Exchange| match parameter(exchange, "cursor") {
        Some(_) => page(200, None),
        None => page(100, Some("</v2/app/tags/list?cursor=x>; rel=\"next\"".to_owned())),
    };
    assert_eq!(tags_at(named).await, Ok(200));
    // It refuses, and nobody knows whether the list was whole, unless its length is no page's.
    let refuses = |all: usize, status: u16| {
        let answer = move |exchange: &Exchange| match more(exchange) {
            true => Fault::refuse(status, "UNSUPPORTED", "no"),
            false => page(all, None),
        };
        tags_at(answer)
    };
    for status in [400, 404, 405] {
        assert_eq!(refuses(137, status).await, Ok(137));
        let why = format!(
            "not a list of tags: it ends after 100 tags, and the question for more is refused ({status})"
        );
        assert_eq!(refuses(100, status).await, Err(why));
    }
    assert_eq!(refuses(137, 403).await, Err("403 UNSUPPORTED: no".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_and_what_has_no_end() {
    for body in ["{}", r#"{"errors":[{"code":"DENIED"}]}"#, r#"{"message":"maintenance"}"#] {
        let answer = |_: &Exchange| Fault::Answer(200, "application/json", body.to_owned());
        assert_eq!(tags_at(answer).await, Err("not a list of tags: it has no `tags`".to_owned()));
    }
    for body in [r#"{"name":"app","tags":null}"#, r#"{"name":"app"}"#, r#"{"tags":[]}"#] {
        let answer = |_: &Exchange| Fault::Answer(200, "application/json", body.to_owned());
        assert_eq!(tags_at(answer).await, Ok(0), "{body}");
    }
    for tags in [0, 10] {
        let answer = move |exchange: &Exchange| {
            page(tags, Some(format!("<?cursor={}>; rel=\"next\"", exchange.number)))
        };
        let why = "not a list of tags: page after page brings nothing new";
        assert_eq!(tags_at(answer).await, Err(why.to_owned()));
    }
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
