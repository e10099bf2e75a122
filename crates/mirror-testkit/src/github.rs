//! As much of GitHub's API as comments, statuses and issues need, as a server of its own. The second opinion is GitHub's
//! own description of it, in `crates/mirror/tests/e2e`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::github_git::GitState;
use crate::server::Server;

/// The repository that there is.
pub const REPOSITORY: &str = "acme/images";
/// The token that may write.
pub const TOKEN: &str = "token-of-a-test";
/// The App that is installed there.
pub const APP: &str = "mirror-app";

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubCall {
    /// How many came before.
    pub number: usize,
    /// `GET` and so on.
    pub method: String,
    /// The path with its query, below the prefix of the API.
    pub path: String,
    /// What was sent.
    pub body: Value,
}

/// What to do instead of answering properly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitHubFault {
    /// This status, header and message.
    Answer(u16, Option<(&'static str, String)>, &'static str),
    /// Do what is asked, then answer 502.
    Lost,
    /// Never answer.
    Hang,
}

type Rule = Box<dyn Fn(&GitHubCall) -> Option<GitHubFault> + Send + Sync>;

#[derive(Default)]
struct State {
    /// Who has the token; nobody, if it is that of a workflow.
    login: Option<String>,
    pulls: Vec<Value>,
    comments: Vec<Value>,
    issues: Vec<Value>,
    statuses: Vec<Value>,
    git: GitState,
    calls: Vec<GitHubCall>,
    faults: Option<Rule>,
}

/// A running GitHub. It stops when it is dropped.
pub struct FakeGitHub {
    state: Arc<Mutex<State>>,
    prefix: &'static str,
    address: std::net::SocketAddr,
    _server: Server,
}

impl FakeGitHub {
    /// Starts one whose token is that of a workflow.
    pub fn start() -> FakeGitHub {
        FakeGitHub::with(None, "")
    }

    /// Starts an Enterprise server, with the token of a person.
    pub fn enterprise(login: &str) -> FakeGitHub {
        FakeGitHub::with(Some(login.to_owned()), "/api/v3")
    }

    fn with(login: Option<String>, prefix: &'static str) -> FakeGitHub {
        let state = Arc::new(Mutex::new(State { login, ..State::default() }));
        let served = state.clone();
        let server = Server::start(move |listener, _| serve(listener, served, prefix));
        FakeGitHub { state, prefix, address: server.address, _server: server }
    }

    /// The address of its API.
    pub fn api(&self) -> String {
        format!("http://{}{}", self.address, self.prefix)
    }

    /// Opens a pull request.
    pub fn open_pull_request(&self, number: u64, head: &str) {
        let pull =
            json!({ "number": number, "id": number, "state": "open", "head": { "sha": head } });
        self.state.lock().unwrap().pulls.push(pull);
    }

    /// Somebody pushes a commit with these files to a branch: this is its id.
    pub fn push(&self, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        self.state.lock().unwrap().git.push(branch, message, files)
    }

    /// Somebody pushes a commit with this id.
    pub fn push_as(&self, id: &str, branch: &str, files: &[(&str, &str)]) {
        self.state.lock().unwrap().git.push_as(id, branch, files);
    }

    /// Somebody closes a pull request, or merges it.
    pub fn close_pull_request(&self, number: u64, merged: bool) {
        let mut body = json!({ "state": "closed" });
        if merged {
            body["merged_at"] = json!("2026-01-02T03:04:05Z");
        }
        let number = number.to_string();
        change(&mut self.state.lock().unwrap().pulls, &number, &body);
    }

    /// The files of a branch, if there is one.
    pub fn branch(&self, name: &str) -> Option<std::collections::BTreeMap<String, String>> {
        self.state.lock().unwrap().git.files(name)
    }

    /// Pull requests that were opened by calls.
    pub fn pull_requests(&self) -> Vec<Value> {
        self.state.lock().unwrap().pulls.clone()
    }

    /// Somebody writes a comment; nobody, if the account is gone.
    pub fn comment_by(&self, login: Option<&str>, body: &str) {
        self.state.lock().unwrap().comment(login.map(str::to_owned), body);
    }

    /// What comments say, with their authors.
    pub fn comments(&self) -> Vec<(Option<String>, String)> {
        let state = self.state.lock().unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        state
            .comments
            .iter()
            .map(|comment| (text(&comment["user"]["login"]), text(&comment["body"]).unwrap()))
            .collect()
    }

    /// All statuses, the newest first.
    pub fn statuses(&self) -> Vec<Value> {
        self.state.lock().unwrap().statuses.clone()
    }

    /// All issues.
    pub fn issues(&self) -> Vec<Value> {
        self.state.lock().unwrap().issues.clone()
    }

    /// Every call since the last time this was asked, as `METHOD path`.
    pub fn take_calls(&self) -> Vec<String> {
        self.take_whole_calls()
            .iter()
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }

    /// The same with what was sent.
    pub fn take_whole_calls(&self) -> Vec<GitHubCall> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// From now on, asks `rule` what to do with each call; `None` is a proper answer.
    pub fn set_faults(
        &self,
        rule: impl Fn(&GitHubCall) -> Option<GitHubFault> + Send + Sync + 'static,
    ) {
        self.state.lock().unwrap().faults = Some(Box::new(rule));
    }
}

impl State {
    fn us(&self) -> String {
        self.login.clone().unwrap_or_else(|| "github-actions[bot]".to_owned())
    }

    fn comment(&mut self, login: Option<String>, body: &str) -> Value {
        let id =
            self.comments.iter().map(|comment| comment["id"].as_u64().unwrap()).max().unwrap_or(0)
                + 1;
        let user = login.map_or(Value::Null, |login| json!({ "login": login }));
        self.comments.push(json!({ "id": id, "body": body, "user": user }));
        self.comments.last().unwrap().clone()
    }

    fn pulls(&mut self, method: &str, parts: &[&str], query: &str, body: &Value) -> (u16, Value) {
        match (method, parts) {
            ("GET", []) => {
                let asked = |name: &str| {
                    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                };
                let (state, head) = (asked("state").unwrap_or("open"), asked("head"));
                let matches = |pull: &&Value| {
                    let branch = pull["head"]["ref"].as_str().unwrap_or_default();
                    (state == "all" || pull["state"] == state)
                        && head.is_none_or(|head| head == format!("acme:{branch}"))
                };
                // The newest first.
                let found: Vec<Value> = self.pulls.iter().rev().filter(matches).cloned().collect();
                (200, json!(page(&found, query)))
            }
            ("POST", []) => {
                let branch = body["head"].as_str().unwrap();
                let is_open =
                    |pull: &Value| pull["state"] == "open" && pull["head"]["ref"] == branch;
                if self.git.files(branch).is_none() || self.pulls.iter().any(is_open) {
                    return refusal(422, "Validation Failed");
                }
                let number = self.pulls.len() as u64 + 1;
                self.pulls.push(json!({
                    "number": number, "id": number, "state": "open", "merged_at": null,
                    "title": body["title"], "body": body["body"], "base": { "ref": body["base"] },
                    "head": { "ref": branch, "sha": "", "repo": { "full_name": REPOSITORY } }
                }));
                (201, self.pulls.last().unwrap().clone())
            }
            ("PATCH", [number]) => change(&mut self.pulls, number, body),
            _ => refusal(404, "Not Found"),
        }
    }

    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let page = |items: &[Value]| (200, json!(page(items, query)));
        if path == format!("/repos/{REPOSITORY}") {
            return (200, json!({ "default_branch": "main" }));
        }
        let Some(rest) = path.strip_prefix(&format!("/repos/{REPOSITORY}/")) else {
            return match (method, path, &self.login) {
                ("GET", "/user", Some(login)) => (200, json!({ "login": login })),
                ("GET", "/user", None) => refusal(403, "Resource not accessible by integration"),
                ("POST", "/app/installations/7/access_tokens", _) => {
                    self.login = Some(format!("{APP}[bot]"));
                    (201, json!({ "token": TOKEN }))
                }
                _ => refusal(404, "Not Found"),
            };
        };
        let parts: Vec<&str> = rest.split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["installation"]) => (200, json!({ "id": 7, "app_slug": APP })),
            (method, ["pulls", rest @ ..]) => self.pulls(method, rest, query, body),
            ("GET", ["compare", range @ ..]) => self.git.compare(&range.join("/")),
            ("GET", ["git", "matching-refs", "heads", prefix @ ..]) => {
                (200, json!(self.git.matching(&prefix.join("/"))))
            }
            (method, ["git", rest @ ..]) => self.git.answer(method, rest, body),
            ("GET", ["issues", _, "comments"]) => page(&self.comments),
            ("POST", ["issues", _, "comments"]) => {
                let us = self.us();
                (201, self.comment(Some(us), body["body"].as_str().unwrap()))
            }
            ("PATCH", ["issues", "comments", id]) => change(&mut self.comments, id, body),
            ("DELETE", ["issues", "comments", id]) => {
                self.comments
                    .retain(|comment| Some(comment["id"].as_u64().unwrap()) != id.parse().ok());
                (204, Value::Null)
            }
            ("POST", ["issues", number, "labels"]) => change(&mut self.pulls, number, body),
            ("GET", ["commits", _, "statuses"]) => page(&self.statuses),
            ("POST", ["statuses", _]) => {
                self.statuses.insert(0, body.clone());
                (201, body.clone())
            }
            ("GET", ["issues"]) => {
                let open: Vec<Value> =
                    self.issues.iter().filter(|issue| issue["state"] == "open").cloned().collect();
                page(&open)
            }
            ("POST", ["issues"]) => {
                let number = self.issues.len() as u64 + 1;
                self.issues.push(json!({
                    "number": number, "id": number, "state": "open", "title": body["title"],
                    "body": body["body"], "user": { "login": self.us() }
                }));
                (201, self.issues.last().unwrap().clone())
            }
            ("PATCH", ["issues", number]) => change(&mut self.issues, number, body),
            _ => refusal(404, "Not Found"),
        }
    }
}

fn refusal(status: u16, message: &str) -> (u16, Value) {
    (status, json!({ "message": message }))
}

fn change(items: &mut [Value], id: &str, body: &Value) -> (u16, Value) {
    let Some(item) =
        items.iter_mut().find(|item| Some(item["id"].as_u64().unwrap()) == id.parse().ok())
    else {
        return refusal(404, "Not Found");
    };
    for (key, value) in body.as_object().unwrap() {
        item[key.as_str()] = value.clone();
    }
    (200, item.clone())
}

fn page(items: &[Value], query: &str) -> Vec<Value> {
    let number = |name: &str, otherwise: usize| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .find_map(|(_, value)| value.parse().ok())
            .unwrap_or(otherwise)
    };
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    items.iter().skip((page - 1) * size).take(size).cloned().collect()
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, prefix: &'static str) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, state.clone(), prefix));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    prefix: &'static str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = parts.method.to_string();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let token =
        token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let decided = {
        let mut state = state.lock().unwrap();
        let path = path.strip_prefix(prefix).unwrap_or("/outside-of-the-api").to_owned();
        let call = GitHubCall {
            number: state.calls.len(),
            method: method.clone(),
            path: path.clone(),
            body: body.clone(),
        };
        state.calls.push(call.clone());
        let fault = state.faults.as_ref().and_then(|rule| rule(&call));
        // A token of an App is signed: three parts.
        let known = token == TOKEN || token.split('.').count() == 3;
        match fault {
            Some(GitHubFault::Hang) => None,
            Some(GitHubFault::Answer(status, header, message)) => {
                Some((status, header, json!({ "message": message })))
            }
            Some(GitHubFault::Lost) => {
                state.answer(&method, &path, &body);
                Some((502, None, Value::Null))
            }
            None if !known => Some((401, None, json!({ "message": "Bad credentials" }))),
            None => {
                let (status, value) = state.answer(&method, &path, &body);
                Some((status, None, value))
            }
        }
    };
    let Some((status, header, value)) = decided else { return std::future::pending().await };
    let mut response =
        Response::builder().status(status).header("content-type", "application/json");
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    let body = if status == 204 { String::new() } else { value.to_string() };
    Ok(response.body(Full::from(body)).unwrap())
}
