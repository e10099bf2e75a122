//! What can be wrong with a tree.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One problem in one file.
///
/// ```
/// use mirror_tree::{Rules, Severity, parse};
///
/// let parsed = parse("docker.io/library/redis/Dockerfile", b"FROM redis:7\nRUN true\n", &Rules::default());
/// let diagnostic = parsed.diagnostics.first().ok_or("one too many instructions")?;
/// assert_eq!(diagnostic.severity(), Severity::Error);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDiagnostic {
    /// The rule that was broken.
    pub code: Code,
    /// The file or folder, relative to the tree, with `/` between the parts.
    pub file: String,
    /// The text of the file, where it could be read.
    pub source: Option<Arc<str>>,
    /// The offending bytes of that text.
    pub span: Option<Range<usize>>,
    /// What is wrong there.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
    /// A correction that is certain.
    pub fix: Option<Fix>,
}

impl TreeDiagnostic {
    /// Whether it is an error or a warning.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is mirrored until it is mended.
    Error,
    /// Legal, but somebody will be surprised.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// A correction that needs no judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Put `text` in place of the bytes of `span`.
    Replace {
        /// What to take out.
        span: Range<usize>,
        /// What to put in.
        text: String,
    },
    /// Move the file to this path of the tree.
    Move(String),
}

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident $text:literal $severity:ident,)*) => {
        /// The rules of the tree, by the name that messages and `images/README.md` use.
        ///
        /// ```
        /// use mirror_tree::{Code, Severity};
        ///
        /// assert_eq!(Code::TreeEmpty.as_str(), "tree-empty");
        /// assert_eq!(Code::TreeEmpty.severity(), Severity::Error);
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$meta])* $name,)*
        }

        impl Code {
            /// Every code, in the order of images/README.md.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The name, in kebab-case.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// How bad a breach is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// There is no such folder.
    TreeMissing "tree-missing" Error,
    /// The folder holds no Dockerfile.
    TreeEmpty "tree-empty" Error,
    /// A file or folder that can't be read.
    Unreadable "unreadable" Error,
    /// A symbolic link; they are not followed.
    SymbolicLink "symbolic-link" Error,
    /// A folder, pipe, socket or device with the name of a Dockerfile.
    NotAFile "not-a-file" Error,
    /// A name that a bot doesn't take for a Dockerfile, or not UTF-8.
    FileName "file-name" Error,
    /// More than 4 KiB.
    FileTooLarge "file-too-large" Error,
    /// More than 64 lines.
    TooManyLines "too-many-lines" Error,
    /// The file is not UTF-8.
    NotUtf8 "not-utf8" Error,
    /// The file has a NUL byte in it.
    NulByte "nul-byte" Error,
    /// Not the syntax of a Dockerfile.
    Syntax "syntax" Error,
    /// The file has no `FROM` line.
    NoFrom "no-from" Error,
    /// More than one `FROM`.
    SeveralFrom "several-from" Error,
    /// Any instruction but `FROM`.
    OtherInstruction "other-instruction" Error,
    /// Something that looks like `FROM`, but isn't.
    MisspelledFrom "misspelled-from" Error,
    /// Space in front of `FROM`.
    IndentedFrom "indented-from" Error,
    /// A `FROM` over several lines.
    LineContinuation "line-continuation" Error,
    /// Quotes around the reference.
    QuotedReference "quoted-reference" Error,
    /// A flag other than `--platform`.
    UnknownFlag "unknown-flag" Error,
    /// A platform that isn't one.
    BadPlatform "bad-platform" Error,
    /// The line is `FROM scratch`, which is no image.
    Scratch "scratch" Error,
    /// `$NAME` in the line.
    ArgSubstitution "arg-substitution" Error,
    /// Upper-case letters in a name.
    UpperCase "upper-case" Error,
    /// `https://` or `docker://` in front.
    UrlScheme "url-scheme" Error,
    /// 64 hex digits for a name.
    ImageId "image-id" Error,
    /// A digest that isn't one.
    BadDigest "bad-digest" Error,
    /// Any other breach of the grammar.
    BadReference "bad-reference" Error,
    /// Neither tag nor digest.
    MissingTag "missing-tag" Error,
    /// The reference has a digest and no tag.
    DigestWithoutTag "digest-without-tag" Error,
    /// A tag alone, where the configuration demands a digest.
    DigestRequired "digest-required" Error,
    /// The folder disagrees with the reference.
    FolderMismatch "folder-mismatch" Error,
    /// The variant folder names another version than the reference.
    VariantMismatch "variant-mismatch" Error,
    /// A tag that moves, without digest.
    FloatingTag "floating-tag" Warning,
    /// A byte order mark in front.
    ByteOrderMark "byte-order-mark" Warning,
    /// A tag that no bot updates to a newer version.
    UntrackedTag "untracked-tag" Warning,
    /// Docker Hub by another name than `docker.io`.
    DockerHubAlias "docker-hub-alias" Warning,
    /// A host that is a slip of the keyboard away from a well-known one.
    LookAlikeHost "look-alike-host" Warning,
    /// A registry whose images have moved.
    MovedRegistry "moved-registry" Warning,
    /// A name in a spelling that Renovate's presets don't know.
    SpelledOut "spelled-out" Warning,
    /// The digest is a SHA-512, which few registries take.
    Sha512Digest "sha512-digest" Warning,
    /// A registry without a dot in its name.
    UndottedRegistry "undotted-registry" Warning,
    /// Several Dockerfiles in one folder.
    SeveralFiles "several-files" Warning,
    /// The same image twice.
    DuplicateEntry "duplicate-entry" Warning,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
