//! Branches, commits and files of the test GitHub.

use std::collections::BTreeMap;

use mirror_oci::{Algorithm, Digest};
use serde_json::{Value, json};

/// What the repository holds.
#[derive(Default)]
pub(crate) struct GitState {
    /// Commits by branch.
    pub(crate) branches: BTreeMap<String, String>,
    /// Trees by id: contents by path.
    trees: BTreeMap<String, BTreeMap<String, String>>,
    /// Commits by id: tree, parents, message.
    commits: BTreeMap<String, (String, Vec<String>, String)>,
}

fn id(text: &str) -> String {
    Digest::of(Algorithm::Sha256, text.as_bytes()).hex()[..40].to_owned()
}

fn owned(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn missing() -> (u16, Value) {
    (404, json!({ "message": "Not Found" }))
}

fn reference(branch: &str, commit: &str) -> Value {
    json!({ "ref": format!("refs/heads/{branch}"), "object": { "sha": commit, "type": "commit" } })
}

impl GitState {
    /// Puts a commit with these files at the end of a branch.
    pub(crate) fn push(&mut self, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        let parents = self.branches.get(branch).cloned().into_iter().collect();
        let tree = self.tree(owned(files));
        let commit = self.commit(tree, parents, message);
        self.branches.insert(branch.to_owned(), commit.clone());
        commit
    }

    /// The same with an id that Git gave it.
    pub(crate) fn push_as(&mut self, id: &str, branch: &str, files: &[(&str, &str)]) {
        let parents = self.branches.get(branch).cloned().into_iter().collect();
        let tree = self.tree(owned(files));
        self.commits.insert(id.to_owned(), (tree, parents, "from a clone".to_owned()));
        self.branches.insert(branch.to_owned(), id.to_owned());
    }

    /// Branches that begin like this.
    pub(crate) fn matching(&self, prefix: &str) -> Vec<Value> {
        let found = self.branches.iter().filter(|(name, _)| name.starts_with(prefix));
        found.map(|(name, commit)| reference(name, commit)).collect()
    }

    /// How many commits `branch...commit` is ahead.
    pub(crate) fn compare(&self, range: &str) -> (u16, Value) {
        let Some((branch, commit)) = range.split_once("...") else { return missing() };
        let history = |commit: &str| {
            let mut found = Vec::new();
            let mut next = Some(commit.to_owned());
            while let Some((_, parents, _)) = next.as_ref().and_then(|next| self.commits.get(next))
            {
                found.extend(next.take());
                next = parents.first().cloned();
            }
            found
        };
        let Some(head) = self.branches.get(branch) else { return missing() };
        if !self.commits.contains_key(commit) {
            return missing();
        }
        let known = history(head);
        let ahead = history(commit).iter().filter(|commit| !known.contains(commit)).count();
        (200, json!({ "ahead_by": ahead }))
    }

    /// The files of a branch.
    pub(crate) fn files(&self, branch: &str) -> Option<BTreeMap<String, String>> {
        let (tree, ..) = self.commits.get(self.branches.get(branch)?)?;
        self.trees.get(tree).cloned()
    }

    fn tree(&mut self, files: BTreeMap<String, String>) -> String {
        let id = id(&format!("tree {files:?}"));
        self.trees.insert(id.clone(), files);
        id
    }

    fn commit(&mut self, tree: String, parents: Vec<String>, message: &str) -> String {
        let id = id(&format!("commit {tree} {parents:?} {message}"));
        self.commits.insert(id.clone(), (tree, parents, message.to_owned()));
        id
    }

    /// Answers a call below `git/`.
    pub(crate) fn answer(&mut self, method: &str, parts: &[&str], body: &Value) -> (u16, Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match (method, parts) {
            ("GET", ["ref", "heads", branch @ ..]) => match self.branches.get(&branch.join("/")) {
                Some(commit) => (200, reference(&branch.join("/"), commit)),
                None => missing(),
            },
            ("GET", ["commits", commit]) => match self.commits.get(*commit) {
                Some((tree, parents, message)) => {
                    let parents: Vec<Value> =
                        parents.iter().map(|parent| json!({ "sha": parent })).collect();
                    let tree = json!({ "sha": tree });
                    (
                        200,
                        json!({ "sha": commit, "tree": tree, "parents": parents, "message": message }),
                    )
                }
                None => missing(),
            },
            ("POST", ["trees"]) => {
                let base = self.trees.get(&text(&body["base_tree"])).cloned();
                let mut files = base.unwrap_or_default();
                for file in body["tree"].as_array().unwrap() {
                    files.insert(text(&file["path"]), text(&file["content"]));
                }
                (201, json!({ "sha": self.tree(files) }))
            }
            ("POST", ["commits"]) => {
                let parents = body["parents"].as_array().unwrap().iter().map(text).collect();
                let commit = self.commit(text(&body["tree"]), parents, &text(&body["message"]));
                (201, json!({ "sha": commit }))
            }
            ("POST", ["refs"]) => {
                let branch = text(&body["ref"]).replacen("refs/heads/", "", 1);
                if self.branches.contains_key(&branch) {
                    return (422, json!({ "message": "Reference already exists" }));
                }
                self.branches.insert(branch, text(&body["sha"]));
                (201, json!({ "object": { "sha": body["sha"] } }))
            }
            ("PATCH", ["refs", "heads", branch @ ..]) => {
                self.branches.insert(branch.join("/"), text(&body["sha"]));
                (200, json!({ "object": { "sha": body["sha"] } }))
            }
            ("DELETE", ["refs", "heads", branch @ ..]) => {
                self.branches.remove(&branch.join("/"));
                (204, Value::Null)
            }
            _ => missing(),
        }
    }
}
