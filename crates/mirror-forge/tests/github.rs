//! Against a GitHub in process that fails in all the ways that the real one does.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mirror_failure::RetryPolicy;
use mirror_forge::{
    Base, CommitId, CommitState, CommitStatus, Forge, ForgeError, ForgeLogin, Kept, Proposal,
};
use mirror_testkit::{FakeGitHub, GITHUB_APP, GITHUB_REPOSITORY, GITHUB_TOKEN, GitHubFault};

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

/// The real way out.
fn wire() -> mirror_forge::ForgeWire {
    mirror_registry::Wire::internet(Default::default()).whole(mirror_forge::LARGEST_RESPONSE)
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy { idle: Duration::from_millis(500), first_pause: Duration::from_millis(1) }
}

async fn open(fake: &FakeGitHub) -> Forge {
    open_as(fake, &ForgeLogin::Token(GITHUB_TOKEN.to_owned())).await.unwrap()
}

async fn open_as(fake: &FakeGitHub, login: &ForgeLogin) -> Result<Forge, ForgeError> {
    Forge::github(&fake.api(), GITHUB_REPOSITORY.parse().unwrap(), login, retry_policy(), wire())
        .await
}

fn ours(fake: &FakeGitHub) -> Vec<String> {
    let ours = fake
        .comments()
        .into_iter()
        .filter(|(author, _)| author.as_deref() == Some("github-actions[bot]"));
    ours.map(|(_, body)| body).collect()
}

#[tokio::test]
async fn one_comment_whatever_others_write() {
    let fake = FakeGitHub::start();
    let github = open(&fake).await;
    // Two pages of others, one of them without account, one with our marker.
    for number in 0..150 {
        fake.comment_by(Some("dependabot[bot]"), &format!("comment {number}"));
    }
    fake.comment_by(None, "of a deleted account");
    fake.comment_by(Some("mallory"), "<!-- mirror plan sha256:x -->\nfake");
    assert_eq!(github.keep_comment(3, "plan", "one").await.unwrap(), Kept::Created);
    assert_eq!(github.keep_comment(3, "plan", "one").await.unwrap(), Kept::Unchanged);
    fake.take_calls();
    assert_eq!(github.keep_comment(3, "plan", "one").await.unwrap(), Kept::Unchanged);
    assert_eq!(
        fake.take_calls(),
        [
            "GET /repos/acme/images/issues/3/comments?per_page=100&page=1",
            "GET /repos/acme/images/issues/3/comments?per_page=100&page=2",
        ],
        "nothing is written when nothing has changed"
    );
    assert_eq!(github.keep_comment(3, "plan", "two").await.unwrap(), Kept::Updated);
    assert_eq!(github.keep_comment(3, "other", "three").await.unwrap(), Kept::Created);
    let ours = ours(&fake);
    assert_eq!(ours.len(), 2);
    assert!(ours[0].starts_with("<!-- mirror plan sha256:") && ours[0].ends_with("-->\ntwo"));
    assert!(fake.comments().iter().any(|(_, body)| body.ends_with("-->\nfake")));
}

#[tokio::test]
async fn a_lost_answer_does_not_make_two() {
    let fake = FakeGitHub::start();
    let github = open(&fake).await;
    fake.set_faults(|call| (call.method == "POST").then_some(GitHubFault::Lost));
    assert_eq!(github.keep_comment(3, "plan", "one").await.unwrap(), Kept::Created);
    assert_eq!(ours(&fake).len(), 1);
    assert_eq!(
        github.keep_issue("attention", "t", |_| Some("one".to_owned())).await.unwrap(),
        Kept::Created
    );
    assert_eq!(fake.issues().len(), 1);
    let status = CommitStatus {
        context: "mirror/plan".to_owned(),
        state: CommitState::Success,
        description: "x".repeat(200),
        url: None,
    };
    let head: CommitId = HEAD.parse().unwrap();
    assert_eq!(github.keep_status(&head, &status).await.unwrap(), Kept::Created);
    assert_eq!(fake.statuses().len(), 1);
    assert_eq!(github.keep_status(&head, &status).await.unwrap(), Kept::Unchanged);
    let other = CommitStatus { state: CommitState::Failure, ..status };
    assert_eq!(github.keep_status(&head, &other).await.unwrap(), Kept::Created);
    assert_eq!(fake.statuses().len(), 2);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for fault in [
        GitHubFault::Answer(502, None, "bad gateway"),
        GitHubFault::Answer(429, Some(("retry-after", "0".to_owned())), "slow down"),
        GitHubFault::Answer(403, Some(("retry-after", "0".to_owned())), "secondary rate limit"),
        GitHubFault::Hang,
    ] {
        let fake = FakeGitHub::start();
        let github = open(&fake).await;
        let shown = format!("{fault:?}");
        fake.set_faults(move |call| (call.number % 3 == 0).then(|| fault.clone()));
        for (text, kept) in [("one", Kept::Created), ("two", Kept::Updated)] {
            let outcome = github.keep_comment(3, "plan", text).await;
            assert_eq!(outcome.unwrap(), kept, "{shown}");
        }
        assert_eq!(ours(&fake).len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told() {
    let tell = async |fault: GitHubFault| {
        let fake = FakeGitHub::start();
        let github = open(&fake).await;
        fake.set_faults(move |_| Some(fault.clone()));
        let error = github.keep_comment(3, "plan", "x").await.unwrap_err();
        (error.to_string(), error.help(), fake.take_calls().len())
    };
    let (text, help, calls) = tell(GitHubFault::Answer(403, None, "Resource not accessible")).await;
    assert_eq!(text, "looking for the comment: 403 Resource not accessible");
    assert!(help.unwrap().contains("pull-requests: write"));
    assert_eq!(calls, 1);
    let (text, _, calls) = tell(GitHubFault::Answer(503, None, "unicorn\u{1b}[2J")).await;
    assert_eq!(
        (text.as_str(), calls),
        ("looking for the comment: 503 unicorn\u{fffd}[2J, 5 attempts", 5)
    );
    let hour = Some(("retry-after", "3600".to_owned()));
    let (text, _, calls) = tell(GitHubFault::Answer(429, hour, "limit")).await;
    assert_eq!(text, "looking for the comment: GitHub accepts no more calls for 3600 s");
    assert_eq!(calls, 1);
    let (text, help, _) = tell(GitHubFault::Answer(301, None, "Moved Permanently")).await;
    assert_eq!(text, "looking for the comment: 301 Moved Permanently");
    assert_eq!(help, Some("the repository has moved: use its new name"));
}

#[tokio::test]
async fn the_pull_request_is_the_one_with_this_head() {
    let fake = FakeGitHub::start();
    for number in 1..=130 {
        fake.open_pull_request(number, &format!("{number:040x}"));
    }
    let github = open(&fake).await;
    fake.open_pull_request(131, &format!("{:040x}", 7));
    let find = async |head: String| github.changes_at(&head.parse().unwrap()).await.unwrap();
    assert_eq!(find(format!("{:040x}", 7)).await, [131, 7]);
    assert_eq!(find(format!("{:040x}", 128)).await, [128]);
    assert_eq!(find(HEAD.to_owned()).await, Vec::<u64>::new());
}

#[tokio::test]
async fn enterprise_servers_people_and_apps() {
    let fake = FakeGitHub::enterprise("ann");
    let github = open(&fake).await;
    fake.comment_by(Some("github-actions[bot]"), "<!-- mirror plan sha256:x -->\nof another");
    github.keep_comment(3, "plan", "one").await.unwrap();
    github.keep_comment(3, "plan", "two").await.unwrap();
    let of_ann: Vec<_> =
        fake.comments().into_iter().filter(|(by, _)| by.as_deref() == Some("ann")).collect();
    assert_eq!(of_ann.len(), 1);

    let fake = FakeGitHub::start();
    let output = std::process::Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    let key = String::from_utf8(output.stdout).unwrap();
    // As it is, and as it comes out of a secret on one line.
    let one_line = key.replace('\n', "\\n");
    open_as(&fake, &ForgeLogin::App { id: "12".to_owned(), key: one_line }).await.unwrap();
    let github = open_as(&fake, &ForgeLogin::App { id: "12".to_owned(), key }).await.unwrap();
    github.keep_comment(3, "plan", "one").await.unwrap();
    github.keep_comment(3, "plan", "two").await.unwrap();
    let comments = fake.comments();
    assert_eq!(comments.len(), 1);
    assert_eq!(comments[0].0.as_deref(), Some(format!("{GITHUB_APP}[bot]").as_str()));
}

#[tokio::test]
async fn tokens_and_addresses_that_cannot_be() {
    let fake = FakeGitHub::start();
    for token in ["", "a b", "a\nb", "é"] {
        let error = open_as(&fake, &ForgeLogin::Token(token.to_owned())).await.err().unwrap();
        assert!(error.to_string().starts_with("the token is empty, or"), "{error}");
    }
    let login = ForgeLogin::Token(GITHUB_TOKEN.to_owned());
    for api in ["http://github.example.com/api/v3", "ftp://x", "x y", ""] {
        let opened =
            Forge::github(api, GITHUB_REPOSITORY.parse().unwrap(), &login, retry_policy(), wire())
                .await;
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("is not the address of an API"), "{error}");
    }
    let wrong = open_as(&fake, &ForgeLogin::Token("wrong".to_owned())).await.unwrap();
    let error = wrong.keep_comment(1, "plan", "x").await.unwrap_err();
    assert_eq!(error.help(), Some("the token is wrong or has expired"));
}

#[tokio::test]
async fn one_issue_that_is_closed_again() {
    let fake = FakeGitHub::start();
    let github = open(&fake).await;
    assert_eq!(github.keep_issue("attention", "t", |_| None).await.unwrap(), Kept::Absent);
    assert_eq!(
        github.keep_issue("attention", "t", |_| Some("a".to_owned())).await.unwrap(),
        Kept::Created
    );
    assert_eq!(
        github.keep_issue("attention", "t", |_| Some("a".to_owned())).await.unwrap(),
        Kept::Unchanged
    );
    assert_eq!(
        github.keep_issue("attention", "t", |_| Some("b".to_owned())).await.unwrap(),
        Kept::Updated
    );
    assert_eq!(github.keep_issue("attention", "t", |_| None).await.unwrap(), Kept::Closed);
    assert_eq!(fake.issues()[0]["state"], "closed");
    // A closed one stays closed; the next problem is a new issue.
    assert_eq!(
        github.keep_issue("attention", "t", |_| Some("c".to_owned())).await.unwrap(),
        Kept::Created
    );
    assert_eq!(fake.issues().len(), 2);
}

#[tokio::test]
async fn tokens_of_other_apps_and_runs_side_by_side() {
    // The token of an installation can't say whose it is; its comments are found all the same.
    let fake = FakeGitHub::start();
    fake.comment_by(Some("acme-mirror[bot]"), "<!-- mirror plan sha256:x -->\nof an earlier run");
    // Another run at the same time has written one as well.
    fake.comment_by(
        Some("acme-mirror[bot]"),
        "<!-- mirror plan sha256:y -->\nof a run side by side",
    );
    fake.comment_by(Some("mallory"), "<!-- mirror plan sha256:z -->\nfake");
    let github = open(&fake).await;
    assert_eq!(github.keep_comment(3, "plan", "new").await.unwrap(), Kept::Updated);
    let comments = fake.comments();
    assert_eq!(comments.len(), 2);
    assert!(comments[0].1.ends_with("-->\nnew") && comments[1].1.ends_with("fake"), "{comments:?}");
}

#[tokio::test]
async fn what_another_run_writes_meanwhile_is_not_ours() {
    let fake = FakeGitHub::start();
    let policy = RetryPolicy { first_pause: Duration::from_millis(200), ..retry_policy() };
    let (repository, login) = (GITHUB_REPOSITORY.parse().unwrap(), GITHUB_TOKEN.to_owned());
    let github =
        Forge::github(&fake.api(), repository, &ForgeLogin::Token(login), policy, wire()).await;
    let (github, first) = (github.unwrap(), AtomicBool::new(true));
    fake.set_faults(move |call| {
        let fails = call.method == "POST" && first.swap(false, Ordering::Relaxed);
        fails.then_some(GitHubFault::Answer(502, None, "bad gateway"))
    });
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = "<!-- mirror plan sha256:other -->\nof an older head";
        fake.comment_by(Some("github-actions[bot]"), text);
    };
    let keep = github.keep_comment(3, "plan", "of the newest head");
    let (kept, ()) = tokio::join!(keep, other);
    assert_eq!(kept.unwrap(), Kept::Created);
    assert!(ours(&fake).iter().any(|text| text.ends_with("of the newest head")));
}

fn proposal(text: &str) -> Proposal {
    Proposal {
        branch: "mirror/update-all".to_owned(),
        title: format!("Update to {text}"),
        text: format!("to {text}"),
        labels: vec!["mirror".to_owned()],
        files: [("images/a/Dockerfile".to_owned(), format!("FROM a:{text}\n"))].into(),
    }
}

#[tokio::test]
async fn one_pull_request_for_what_is_proposed() {
    let fake = FakeGitHub::start();
    let github = open(&fake).await;
    let files = [("README.md", "us"), ("images/a/Dockerfile", "FROM a:1\n")];
    let base = Base::new(fake.push("main", "first", &files).parse().unwrap());
    let branch = "mirror/update-all";
    let keep = async |text: &str| github.keep_proposal(&base, &proposal(text)).await.unwrap();
    assert_eq!(github.withdraw_proposal(branch).await.unwrap(), Kept::Absent);
    assert_eq!(keep("2").await, Kept::Created);
    let written = fake.branch(branch).unwrap();
    assert_eq!(written["images/a/Dockerfile"], "FROM a:2\n");
    assert_eq!(written["README.md"], "us");
    let opened = fake.pull_requests();
    assert_eq!((opened.len(), &opened[0]["base"]["ref"]), (1, &"main".into()));
    assert_eq!(opened[0]["labels"], serde_json::json!(["mirror"]));
    fake.take_calls();
    assert_eq!(keep("2").await, Kept::Unchanged);
    let calls = fake.take_calls();
    assert_eq!(calls.len(), 3, "the pull request, its branch, the commit of that: {calls:?}");
    assert!(calls.iter().all(|call| call.starts_with("GET ")), "{calls:?}");
    // Something else, on the same branch and in the same pull request.
    assert_eq!(keep("3").await, Kept::Updated);
    assert_eq!(fake.branch(branch).unwrap()["images/a/Dockerfile"], "FROM a:3\n");
    assert_eq!(fake.pull_requests().len(), 1);
    assert_eq!(fake.pull_requests()[0]["title"], "Update to 3");
    assert_eq!(github.branches("mirror/update-").await.unwrap(), [branch]);
    // A person says no, until there is something else.
    fake.close_pull_request(1, false);
    assert_eq!(keep("3").await, Kept::Rejected);
    assert_eq!(keep("4").await, Kept::Created);
    // What was merged and is not there any more is proposed again.
    fake.close_pull_request(2, true);
    assert_eq!(keep("4").await, Kept::Created);
    assert_eq!(fake.pull_requests().len(), 3);
    assert_eq!(github.withdraw_proposal(branch).await.unwrap(), Kept::Closed);
    assert_eq!(fake.pull_requests()[2]["state"], "closed");
    assert_eq!(fake.branch(branch), None);
    // Somebody goes on with it.
    assert_eq!(keep("5").await, Kept::Created);
    fake.push(branch, "one more thing", &[("x", "y")]);
    assert_eq!(keep("6").await, Kept::Foreign);
    assert_eq!(github.withdraw_proposal(branch).await.unwrap(), Kept::Foreign);
    assert_eq!(fake.branch(branch).unwrap()["x"], "y");
}

#[tokio::test]
async fn proposals_whose_answers_are_lost() {
    let fake = FakeGitHub::start();
    let github = open(&fake).await;
    fake.push_as(HEAD, "main", &[("images/a/Dockerfile", "FROM a:1\n")]);
    let base = Base::new(HEAD.parse().unwrap());
    // Each call that writes is carried out once, and its answer lost the first time.
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    fake.set_faults(move |call| {
        let first = seen.lock().unwrap().insert(format!("{} {}", call.method, call.path));
        (call.method != "GET" && first).then_some(GitHubFault::Lost)
    });
    assert_eq!(github.keep_proposal(&base, &proposal("2")).await.unwrap(), Kept::Created);
    assert_eq!(github.keep_proposal(&base, &proposal("3")).await.unwrap(), Kept::Updated);
    assert_eq!(fake.pull_requests().len(), 1);
    assert_eq!(github.withdraw_proposal("mirror/update-all").await.unwrap(), Kept::Closed);
    // A commit that is nowhere, or on another branch.
    let other = HEAD.replace('0', "f");
    let elsewhere = || Base::new(other.parse().unwrap());
    let error = github.keep_proposal(&elsewhere(), &proposal("2")).await.unwrap_err();
    let why = format!("the commit {other} is not in the branch `main` of acme/images");
    assert_eq!(error.to_string(), why);
    fake.push_as(&other, "feature", &[("images/a/Dockerfile", "FROM a:1\n")]);
    let error = github.keep_proposal(&elsewhere(), &proposal("2")).await.unwrap_err();
    assert_eq!(error.to_string(), why);
    assert_eq!(fake.branch("mirror/update-all"), None);
}
