//! A second parser as an oracle: what we call a good file, it reads as one `FROM` with the same image.

#![expect(clippy::string_slice, reason = "tests may panic")]

use mirror_tree::{Rules, parse};
use proptest::prelude::*;

fn line() -> impl Strategy<Value = String> {
    let pieces = [
        "FROM ",
        "from\t",
        "postgres:14",
        "a.io/b:c",
        " ",
        "\n",
        "\r\n",
        "# x\n",
        " AS b",
        "--platform=linux/amd64 ",
        "\\\n",
        "\"",
        "RUN x\n",
        "$",
        "<<E\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn same_image(text in line()) {
        let ours = parse("Dockerfile", text.as_bytes(), &Rules::default());
        let errors = ours.diagnostics.iter().any(|d| d.severity() == mirror_tree::Severity::Error);
        prop_assert_eq!(ours.from.is_none() && !errors, false, "neither an image nor an error: {:?}", text);
        let (Some(from), false) = (ours.from, errors) else { return Ok(()) };
        let theirs = parse_dockerfile::parse(&text).unwrap();
        prop_assert_eq!(theirs.instructions.len(), 1);
        let parse_dockerfile::Instruction::From(instruction) = &theirs.instructions[0] else {
            panic!("{text:?} is no FROM for parse-dockerfile");
        };
        prop_assert_eq!(instruction.image.value.as_ref(), &text[from.span]);
    }

    #[test]
    fn any_bytes_have_an_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let parsed = parse("Dockerfile", &bytes, &Rules::default());
        prop_assert!(parsed.from.is_some() || !parsed.diagnostics.is_empty());
    }

    #[test]
    fn spans_stand_in_the_text(text in "(FROM|from|FORM)?[ \t]{0,2}(--[a-z=$/]{0,9} )?[\\PC\n]{0,40}") {
        for found in parse("Dockerfile", text.as_bytes(), &Rules::default()).diagnostics {
            if let Some(span) = found.span {
                prop_assert!(text.get(span.clone()).is_some(), "{:?} in {:?}", span, text);
            }
        }
    }
}
