//! Names of repositories and commits.

use std::str::FromStr;

/// `owner/name`
///
/// ```
/// use mirror_forge::RepositoryName;
///
/// let name: RepositoryName = "acme/images".parse().unwrap();
/// assert_eq!(name.as_str(), "acme/images");
/// assert!("acme".parse::<RepositoryName>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The text, `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = String;

    fn from_str(text: &str) -> Result<RepositoryName, String> {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty()
                && part.len() <= 100
                && part.chars().all(plain)
                && !part.trim_matches('.').is_empty()
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(RepositoryName(text.to_owned())),
            _ => Err("a repository is named OWNER/NAME".to_owned()),
        }
    }
}

/// The full name of a commit, in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitId(String);

impl CommitId {
    /// The text, 40 or 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = String;

    fn from_str(text: &str) -> Result<CommitId, String> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if matches!(text.len(), 40 | 64) && text.chars().all(hex) {
            Ok(CommitId(text.to_owned()))
        } else {
            Err("a commit is named by all of its 40 digits".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a/b", "acme-corp/images.mirror", "A_1/x"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for wrong in ["", "a", "a/", "/b", "a/b/c", "a/..", "../b", "a b/c", "a/b?x", "a/b#"] {
            assert!(wrong.parse::<RepositoryName>().is_err(), "{wrong}");
        }
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitId>().is_ok());
        for wrong in ["", "HEAD", "0123456789ABCDEF0123456789abcdef01234567", "../x"] {
            assert!(wrong.parse::<CommitId>().is_err(), "{wrong}");
        }
    }
}
