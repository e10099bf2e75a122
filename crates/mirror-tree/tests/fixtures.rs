//! Every rule of the tree with files that break it, and the files that are fine.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests may panic")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use mirror_tree::{Code, Fix, Rules, Severity, Tree, read};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn write(root: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read_files(files: &[(&str, &[u8])], rules: &Rules) -> Tree {
    let root = tempfile::tempdir().unwrap();
    for (file, content) in files {
        write(root.path(), file, content);
    }
    read(root.path(), rules)
}

const POSTGRES: &str = "docker.io/library/postgres/Dockerfile";

/// Content of [`POSTGRES`], the one rule it breaks, and the text that is underlined.
fn one_file_cases() -> Vec<(Vec<u8>, Code, &'static str)> {
    use Code::*;
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (vec![b'#'; 5000], FileTooLarge, ""),
        ("#\n".repeat(65).into_bytes(), TooManyLines, ""),
        (" \\\n".repeat(5000).into_bytes(), FileTooLarge, ""),
        (format!("FROM{} a:1", " \\\n".repeat(62)).into_bytes(), LineContinuation, "\\"),
        (b"\xff\xfeF\0R\0".to_vec(), NulByte, ""),
        (b"FROM postgres:14 # caf\xe9\n".to_vec(), NotUtf8, ""),
        (text("\u{feff}FROM postgres:14"), ByteOrderMark, "\u{feff}"),
        (text(""), NoFrom, ""),
        (text("# only a comment\n\n"), NoFrom, ""),
        (text("FROM postgres:14\nFROM postgres:15\n"), SeveralFrom, "FROM postgres:15"),
        (text("FROM postgres:14\nRUN <<E\nx y\nE\n"), OtherInstruction, "RUN"),
        (text("FROM postgres:14\nlabel a=b\n"), OtherInstruction, "label"),
        (text("ARG V=14\nFROM postgres:14\n"), OtherInstruction, "ARG"),
        (text("FORM postgres:14"), MisspelledFrom, "FORM"),
        (text("FROMpostgres:14"), MisspelledFrom, "FROMpostgres:14"),
        (text("# x\n \tFROM postgres:14"), IndentedFrom, " \t"),
        (text("FROM \\\n  postgres:14"), LineContinuation, "\\"),
        (text("FROM postgres:14 \\\n"), LineContinuation, "\\"),
        (text("FROM \"postgres:14\""), QuotedReference, "\"postgres:14\""),
        (text("FROM 'postgres:14'"), QuotedReference, "'postgres:14'"),
        (text("FROM"), Syntax, "FROM"),
        (text("FROM postgres:14 # a comment"), Syntax, "# a comment"),
        (text("FROM postgres:14 as"), Syntax, "as"),
        (text("FROM postgres:14 or 15"), Syntax, "or 15"),
        (text("FROM --platform linux/amd64 postgres:14"), Syntax, "postgres:14"),
        (text("FROM --chown=1 postgres:14"), UnknownFlag, "--chown=1"),
        (
            text("FROM --platform=linux/amd64 --platform=linux/arm64 postgres:14"),
            UnknownFlag,
            "--platform=linux/arm64",
        ),
        (text("FROM --platform=amd64 postgres:14"), BadPlatform, "amd64"),
        (text("FROM --platform=$BUILDPLATFORM postgres:14"), ArgSubstitution, "$BUILDPLATFORM"),
        (text("FROM scratch"), Scratch, "scratch"),
        (text("FROM postgres:${V}"), ArgSubstitution, "${V}"),
        (text("FROM Postgres:14"), UpperCase, "Postgres"),
        (text("FROM https://docker.io/postgres:14"), UrlScheme, "https://"),
        (text("FROM docker://postgres:14"), UrlScheme, "docker://"),
        (DIGEST.replace("sha256:", "FROM ").into_bytes(), ImageId, &DIGEST[7..]),
        (text("FROM postgres:14@sha256:abc"), BadDigest, "sha256:abc"),
        (text("FROM postgres:14@md5:abc"), BadDigest, "md5:abc"),
        (text("FROM postgres:14@"), BadDigest, "@"),
        (text("FROM post gres:14"), Syntax, "gres:14"),
        (text("FROM postgres:1+4"), BadReference, "+"),
        (text("FROM postgr\u{e9}s:14"), BadReference, "\u{e9}"),
        (text("FROM postgres"), MissingTag, "postgres"),
        (format!("FROM postgres@{DIGEST}").into_bytes(), DigestWithoutTag, "postgres@"),
        (text("FROM redis:7"), FolderMismatch, "redis:7"),
        (text("FROM postgres:latest"), FloatingTag, "latest"),
        (text("FROM postgres:alpine"), FloatingTag, "alpine"),
        (text(&format!("FROM postgres:14.2-alpine3.15@{DIGEST}")), UntrackedTag, "14.2-alpine3.15"),
        (
            format!("FROM postgres:14@sha512:{0}{0}", &DIGEST[7..]).into_bytes(),
            Sha512Digest,
            "postgres:14@sha512",
        ),
    ]
}

#[test]
fn one_file_each() {
    for (content, code, underlined) in one_file_cases() {
        let tree = read_files(&[(POSTGRES, &content)], &Rules::default());
        let shown = String::from_utf8_lossy(&content[..content.len().min(60)]).into_owned();
        let codes: Vec<_> = tree.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [code], "{shown:?}: {:#?}", tree.diagnostics);
        let found = &tree.diagnostics[0];
        assert_eq!(found.file, POSTGRES);
        let span = found.span.clone().map(|span| &found.source.as_ref().unwrap()[span]);
        assert!(span.unwrap_or("").starts_with(underlined), "{shown:?}: {span:?}");
        assert_eq!(span.is_none(), underlined.is_empty(), "{shown:?}: {span:?}");
        assert_eq!(tree.entries.is_empty(), code.severity() == Severity::Error, "{shown:?}");
        assert!(found.help.is_some(), "{code} has no help");
    }
}

#[test]
fn rules_from_the_configuration() {
    let floating: &[(&str, &[u8])] = &[(POSTGRES, b"FROM postgres:14\n")];
    let strict = Rules { require_digest: true, ..Rules::default() };
    assert_eq!(read_files(floating, &strict).diagnostics[0].code, Code::DigestRequired);
    let digest_only = format!("FROM postgres@{DIGEST}");
    let lenient = Rules { allow_digest_only: true, ..Rules::default() };
    let tree = read_files(&[(POSTGRES, digest_only.as_bytes())], &lenient);
    assert_eq!(tree.diagnostics, []);
    assert_eq!(tree.entries[0].version.tag(), None);
}

/// A rule, and what makes a tree that breaks it.
type TreeCase = (Code, Box<dyn Fn(&Path)>);

/// Rules that look at more than one file, or at what is not a file.
fn tree_cases() -> Vec<TreeCase> {
    use Code::*;
    let case = |code: Code, make: fn(&Path)| (code, Box::new(make) as Box<dyn Fn(&Path)>);
    vec![
        case(TreeMissing, |root| fs::remove_dir(root).unwrap()),
        case(TreeEmpty, |root| write(root, "README.md", "no image here")),
        case(SymbolicLink, |root| {
            write(root, "a.io/x/real", "");
            symlink("real", root.join("a.io/x/Dockerfile")).unwrap();
        }),
        case(SymbolicLink, |root| symlink(".", root.join("loop")).unwrap()),
        case(SymbolicLink, |root| symlink("gone", root.join("Dockerfile")).unwrap()),
        case(NotAFile, |root| fs::create_dir_all(root.join("a.io/x/Dockerfile")).unwrap()),
        case(NotAFile, |root| {
            let made =
                std::process::Command::new("mkfifo").arg(root.join("Dockerfile")).status().unwrap();
            assert!(made.success());
        }),
        case(FileName, |root| {
            write(root, "docker.io/library/postgres/DockerFile", "FROM postgres:14")
        }),
        case(FileName, |root| {
            write(root, "docker.io/library/postgres/Dockerfile~", "FROM postgres:14")
        }),
        case(VariantMismatch, |root| {
            write(root, "docker.io/library/postgres/13/Dockerfile", "FROM postgres:14.2")
        }),
        case(DockerHubAlias, |root| {
            write(
                root,
                "registry-1.docker.io/library/postgres/Dockerfile",
                "FROM registry-1.docker.io/library/postgres:14.2",
            )
        }),
        case(LookAlikeHost, |root| write(root, "ghrc.io/a/b/Dockerfile", "FROM ghrc.io/a/b:1.2")),
        case(MovedRegistry, |root| {
            write(root, "k8s.gcr.io/pause/Dockerfile", "FROM k8s.gcr.io/pause:3.6")
        }),
        case(UndottedRegistry, |root| {
            write(root, "localhost:5000/x/Dockerfile", "FROM localhost:5000/x:1")
        }),
        case(SeveralFiles, |root| {
            write(root, "docker.io/library/postgres/Dockerfile.13", "FROM postgres:13");
            write(root, "docker.io/library/postgres/Dockerfile.14", "FROM postgres:14");
        }),
        case(DuplicateEntry, |root| {
            write(root, "docker.io/library/postgres/a/Dockerfile", "FROM postgres:13");
            write(
                root,
                "docker.io/library/postgres/b/Dockerfile",
                "FROM docker.io/library/postgres:13",
            );
        }),
    ]
}

#[test]
fn whole_trees() {
    for (code, make) in tree_cases() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("images");
        fs::create_dir(&root).unwrap();
        make(&root);
        let tree = read(&root, &Rules::default());
        let codes: Vec<_> = tree.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [code], "{:#?}", tree.diagnostics);
        assert!(tree.diagnostics[0].help.is_some(), "{code} has no help");
    }
}

#[test]
fn unreadable_names_the_file() {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return as_somebody_else("unreadable_names_the_file");
    }
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    write(&locked, "Dockerfile", "FROM postgres:14");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let tree = read(folder.path(), &Rules::default());
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tree.diagnostics[0].code, Code::Unreadable);
    assert_eq!(tree.diagnostics[0].file, "locked");
}

/// Root may read everything, so a test about permissions runs again as somebody who may not.
fn as_somebody_else(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--exact", test])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn codes_are_unique_produced_and_documented() {
    let mut produced: Vec<Code> = one_file_cases().into_iter().map(|(_, code, _)| code).collect();
    produced.extend(tree_cases().into_iter().map(|(code, _)| code));
    // Shown in tests of their own: two need a configuration, one a user without rights.
    produced.extend([Code::DigestRequired, Code::SpelledOut, Code::Unreadable]);
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len(), "a code stands twice");
    let readme = include_str!("../../../images/README.md");
    for code in Code::ALL {
        assert!(produced.contains(code), "{code} is never produced");
        let row = format!("| `{code}` | {} |", code.severity());
        assert!(readme.contains(&row), "images/README.md lacks the row {row}");
    }
    let rows = readme.lines().filter(|line| {
        line.starts_with("| `") && (line.contains("| error |") || line.contains("| warning |"))
    });
    assert_eq!(rows.count(), Code::ALL.len(), "images/README.md documents a code that isn't there");
}

/// What a fix makes of trees of others: no build file leaves its context, and nothing new is wrong.
#[test]
fn fixes_move_what_is_an_entry_alone() {
    let fixes = |files: &[(&str, &[u8])]| {
        let tree = read_files(files, &Rules::default());
        let fixes = tree.diagnostics.into_iter().filter_map(|problem| problem.fix);
        fixes.collect::<Vec<_>>()
    };
    assert_eq!(fixes(&[("app/Dockerfile", b"FROM alpine:3.19\nCOPY . /srv\n")]), []);
    let golang: &[(&str, &[u8])] = &[
        ("golang/Dockerfile.alpine", b"FROM golang:1.22-alpine\n"),
        ("golang/Dockerfile.debian", b"FROM golang:1.22\n"),
        ("golang/Dockerfile.1.21", b"FROM golang:1.21\n"),
    ];
    let moved = |to: &str| Fix::Move(format!("docker.io/library/golang/{to}/Dockerfile"));
    // What would say a version in the folder is no name for it, and goes where it belongs.
    let plain = Fix::Move("docker.io/library/golang/Dockerfile.1.21".to_owned());
    assert_eq!(fixes(golang), [plain, moved("alpine"), moved("debian")]);
    let taken: &[(&str, &[u8])] = &[
        ("docker.io/library/golang/Dockerfile", b"FROM golang:1.22\n"),
        ("go/Dockerfile", b"FROM golang:1.21\n"),
    ];
    assert_eq!(fixes(taken), []);
}

#[test]
fn names_that_have_a_better_spelling() {
    let rules = Rules { bots: mirror_tree::Bot::Renovate.into(), ..Rules::default() };
    let found = |line: &str| {
        let parsed = mirror_tree::parse("", line.as_bytes(), &rules);
        let found = parsed.diagnostics.into_iter().map(|problem| {
            let fixed = problem.fix.map(|fix| match fix {
                Fix::Replace { span, text } => {
                    let mut line = line.to_owned();
                    line.replace_range(span, &text);
                    line
                }
                Fix::Move(to) => to,
            });
            (problem.code, fixed.unwrap_or_default())
        });
        found.collect::<Vec<_>>()
    };
    let fixed = |code: Code, line: &str| vec![(code, line.to_owned())];
    for (line, expected) in [
        (
            "FROM registry-1.docker.io/library/redis:7.4",
            fixed(Code::DockerHubAlias, "FROM redis:7.4"),
        ),
        (
            "FROM index.docker.io/bitnami/redis:7.4",
            fixed(Code::DockerHubAlias, "FROM bitnami/redis:7.4"),
        ),
        (
            "FROM docker.io/library/eclipse-temurin:17.0.2_8-jdk",
            fixed(Code::SpelledOut, "FROM eclipse-temurin:17.0.2_8-jdk"),
        ),
        ("FROM docker.io/library/redis:7.4", vec![]),
        (
            "FROM hub.docker.com/r/bitnami/redis:7.4",
            fixed(Code::UrlScheme, "FROM bitnami/redis:7.4"),
        ),
        ("FROM https://quay.io/repository/a/b:1", fixed(Code::UrlScheme, "FROM quay.io/a/b:1")),
        ("FROM https://hub.docker.com/r/bitnami/redis", fixed(Code::UrlScheme, "")),
        ("FROM --platform=linux/x86_64 redis:7.4", vec![]),
        ("# escape=`\nFROM redis:7.4 `\n AS x", fixed(Code::LineContinuation, "")),
        ("FROM redis:7.4\nRUN <<E\nfrom x\nE\n", fixed(Code::OtherInstruction, "")),
    ] {
        assert_eq!(found(line), expected, "{line}");
    }
}

#[test]
fn good_files() {
    let pinned = format!("FROM postgres:14.2@{DIGEST} AS base\r\n");
    let quay = "quay.io/prometheus/node-exporter/Containerfile";
    let files: &[(&str, &[u8])] = &[
        (POSTGRES, pinned.as_bytes()),
        ("docker.io/library/postgres/13/Dockerfile", b"# syntax=docker/dockerfile:1\n\nfrom  docker.io/library/postgres:13.6   "),
        ("docker.io/docker/dockerfile/dockerfile", b"FROM docker/dockerfile:1.4"),
        (quay, b"# comment\r\nFROM\t--platform=linux/arm64/v8 quay.io/prometheus/node-exporter:v1.8.1\r\n"),
        ("[2001:db8::1]:5000/x/v1.Dockerfile", b"FROM [2001:db8::1]:5000/x:1"),
        ("docker.io/library/postgres/README.md", b"\xff not ours"),
        ("mirror.toml", b""),
    ];
    let tree = read_files(files, &Rules::default());
    assert_eq!(tree.diagnostics, []);
    let found: Vec<_> = tree
        .entries
        .iter()
        .map(|e| (e.file.as_str(), format!("{}{}", e.name, e.version)))
        .collect();
    assert_eq!(
        found,
        [
            ("[2001:db8::1]:5000/x/v1.Dockerfile", "[2001:db8::1]:5000/x:1".to_owned()),
            (
                "docker.io/docker/dockerfile/dockerfile",
                "docker.io/docker/dockerfile:1.4".to_owned()
            ),
            (
                "docker.io/library/postgres/13/Dockerfile",
                "docker.io/library/postgres:13.6".to_owned()
            ),
            (POSTGRES, format!("docker.io/library/postgres:14.2@{DIGEST}")),
            (quay, "quay.io/prometheus/node-exporter:v1.8.1".to_owned()),
        ]
    );
    assert_eq!(tree.entries[4].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    assert_eq!(
        &tree.entries[2].source[tree.entries[2].span.clone()],
        "docker.io/library/postgres:13.6"
    );
}

#[test]
fn all_problems_at_once() {
    let content = b"\xef\xbb\xbf  FROM --x=1 Foo:bar\nRUN x\nRUN y\nCMD z\n";
    let tree = read_files(
        &[(POSTGRES, content), ("a.io/x/Dockerfile", b"FROM b.io/x:1")],
        &Rules::default(),
    );
    let codes: Vec<_> = tree.diagnostics.iter().map(|d| d.code.as_str()).collect();
    let expected = [
        "folder-mismatch",
        "byte-order-mark",
        "indented-from",
        "unknown-flag",
        "upper-case",
        "other-instruction",
    ];
    assert_eq!(codes, expected);
    assert!(tree.diagnostics[5].message.contains("(and 2 more lines)"));
}

#[test]
fn fixes() {
    let fixed = |content: &str| {
        let tree = read_files(&[(POSTGRES, content.as_bytes())], &Rules::default());
        let mut text = content.to_owned();
        match tree.diagnostics[0].fix.clone().unwrap() {
            Fix::Replace { span, text: new } => text.replace_range(span, &new),
            Fix::Move(to) => text = to,
        }
        text
    };
    assert_eq!(fixed("\u{feff}FROM postgres:14"), "FROM postgres:14");
    assert_eq!(fixed("#x\n  FROM postgres:14"), "#x\nFROM postgres:14");
    assert_eq!(fixed("FROM \"postgres:14\"\n"), "FROM postgres:14\n");
    assert_eq!(fixed("FROM https://postgres:14"), "FROM postgres:14");
    assert_eq!(fixed("FROM docker.io/Library/Postgres:A"), "FROM docker.io/library/postgres:A");
    assert_eq!(fixed("FROM quay.io/a/b:1"), "quay.io/a/b/Dockerfile");

    let taken: &[(&str, &[u8])] =
        &[(POSTGRES, b"FROM postgres:14"), ("x/Dockerfile", b"FROM postgres:13")];
    let tree = read_files(taken, &Rules::default());
    assert_eq!((tree.diagnostics.len(), tree.diagnostics[0].fix.clone()), (1, None));
    assert!(tree.diagnostics[0].help.as_ref().unwrap().contains("variant folder"));
}

#[test]
fn a_huge_file_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let file = fs::File::create(root.path().join("Dockerfile")).unwrap();
    file.set_len(100 << 20).unwrap();
    let tree = read(root.path(), &Rules::default());
    assert_eq!(tree.diagnostics[0].code, Code::FileTooLarge);
}
