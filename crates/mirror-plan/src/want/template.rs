//! Names of copies, with fields that each image fills in: `{registry}/{repository}`, `{tag}-{digest:12}`.

use mirror_tree::Entry;

/// A text with fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Filter),
}

/// What is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Registry,
    Repository,
    /// The last component of the repository.
    Name,
    Tag,
    /// The digest's hexadecimal digits.
    Digest,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    /// The first characters.
    First(usize),
    /// Dashes for slashes.
    Dashes,
}

/// The first digits of a digest that tell images apart, and all that a sha256 has.
const FEW_DIGITS: (usize, usize) = (7, 64);

/// What templates know, as messages say it.
pub(crate) const FIELDS: &str = "{registry}, {repository}, {name}, {tag} and {digest}, with a filter such as {digest:12} or {repository:dashes}";

impl Template {
    /// A text without fields.
    pub(crate) fn verbatim(text: &str) -> Template {
        Template { written: text.to_owned(), pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// Whether every image has a value of its own for some field in it.
    pub(crate) fn tells_images_apart(&self) -> bool {
        self.has(&[Field::Registry, Field::Repository, Field::Name])
    }

    /// Whether another digest makes another name.
    pub(crate) fn has_digest(&self) -> bool {
        self.has(&[Field::Digest])
    }

    /// Whether it needs what only a tag or digest says.
    pub(crate) fn has_version(&self) -> bool {
        self.has(&[Field::Tag, Field::Digest])
    }

    fn has(&self, fields: &[Field]) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Field(field, _) if fields.contains(field)))
    }

    /// The name of a copy.
    ///
    /// # Errors
    /// The field that the entry has no value for.
    pub(crate) fn filled(&self, entry: &Entry) -> Result<String, &'static str> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Field(field, filter) => out += &filter.applied(field.of(entry)?),
            }
        }
        Ok(out)
    }

    /// With something valid for each field, to see what becomes of it.
    pub(crate) fn sample(&self) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Field(..) => "x",
        });
        pieces.collect()
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let inner = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((field, behind)) = inner else {
                return Err("a `{` and a `}` belong together".to_owned());
            };
            pieces.push(piece(field)?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Template { written: text.to_owned(), pieces })
    }
}

fn piece(text: &str) -> Result<Piece, String> {
    let (name, filter) = text.split_once(':').unwrap_or((text, ""));
    let field = match name {
        "registry" => Field::Registry,
        "repository" => Field::Repository,
        "name" => Field::Name,
        "tag" => Field::Tag,
        "digest" => Field::Digest,
        _ => return Err(format!("there is no field `{{{name}}}`")),
    };
    let filter = match filter {
        "" if text.contains(':') => return Err(format!("`{{{text}}}` names no filter")),
        "" => Filter::None,
        "dashes" => Filter::Dashes,
        number if number.bytes().all(|digit| digit.is_ascii_digit()) => {
            let (least, most) = if field == Field::Digest { FEW_DIGITS } else { (1, 128) };
            match number.parse() {
                Ok(count) if (least..=most).contains(&count) && !number.starts_with('0') => {
                    Filter::First(count)
                }
                _ => return Err(format!("`{{{text}}}` takes {least} to {most} characters")),
            }
        }
        _ => return Err(format!("there is no filter `{filter}`")),
    };
    Ok(Piece::Field(field, filter))
}

impl Field {
    fn of(self, entry: &Entry) -> Result<String, &'static str> {
        let repository = entry.name.repository.as_str();
        Ok(match self {
            Field::Registry => registry(entry.name.registry.as_str()),
            Field::Repository => repository.to_owned(),
            Field::Name => repository.rsplit('/').next().unwrap_or(repository).to_owned(),
            Field::Tag => entry.version.tag().ok_or("tag")?.to_string(),
            Field::Digest => entry.version.digest().ok_or("digest")?.hex().to_owned(),
        })
    }
}

impl Filter {
    fn applied(self, text: String) -> String {
        match self {
            Filter::None => text,
            Filter::First(count) => text.chars().take(count).collect(),
            Filter::Dashes => text.replace('/', "-"),
        }
    }
}

/// A port or an IPv6 address can't stand in a repository: its other characters become `-`.
fn registry(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if matches!(c, ':' | '[' | ']') { '-' } else { c }).collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(reference: &str) -> Entry {
        let parsed: mirror_oci::Reference = reference.parse().unwrap();
        let version = parsed.version().unwrap();
        let name = parsed.name;
        Entry { file: String::new(), name, version, platform: None, span: 0..0, source: "".into() }
    }

    #[test]
    fn fields_and_filters() {
        let pinned = format!("ghcr.io/a/b:1.2@sha256:{}", "0123456789abcdef".repeat(4));
        for (template, reference, expected) in [
            ("{registry}/{repository}", "postgres:14", Ok("docker.io/library/postgres")),
            ("m/{name}", "ghcr.io/a/b:1", Ok("m/b")),
            ("{repository:dashes}-{tag}", "ghcr.io/a/b:1", Ok("a-b-1")),
            ("{registry}", "[::1]:5000/x:1", Ok("1--5000")),
            ("{tag}-{digest:12}", &pinned, Ok("1.2-0123456789ab")),
            ("{tag}-{digest:12}", "ghcr.io/a/b:1", Err("digest")),
            ("{name:2}", "docker.io/library/postgres:14", Ok("po")),
        ] {
            let template: Template = template.parse().unwrap();
            assert_eq!(template.filled(&entry(reference)).as_deref(), expected.as_ref().copied());
        }
        for bad in
            ["{", "}", "{tag", "{nam}", "{tag:}", "{tag:0}", "{tag:129}", "{tag:upper}", "{{tag}}"]
        {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
