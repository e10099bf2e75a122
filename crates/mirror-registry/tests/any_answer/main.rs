//! Whatever a registry answers: nothing panics, everything ends, and the password goes nowhere else.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod script;

use proptest::prelude::*;

/// A header that is nearly right, and decides something.
fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        "www-authenticate: (Bearer realm=\"(https://r\\.example/token|http://r\\.example/t|https://evil\\.example/t)\"(,service=\"[a-z\"\\\\,]{0,9}\")?|Basic( realm=\"x)?|[\"=, a-zA-Z]{0,300})",
        "link: <(/v2/app/tags/list\\?last=[a-z]{0,3}|https://evil\\.example/v2/|[^>\n]{0,200})>; ?rel=\"?(next|prev)\"?(, <[a-z/]{0,9}>; rel=next)?",
        "content-range: (bytes )?[-0-9*/ ]{0,300}",
        "location: (/v2/app/blobs/uploads/[a-z0-9?=]{0,9}|https://(you:other@)?(evil|r)\\.example/[a-z]{0,5}|http://r\\.example/x|[!-~]{0,100})",
        "content-type: (application/vnd.oci.image.(index|manifest).v1\\+json|text/html|[!-~]{0,40})",
        "docker-content-digest: sha256:[0-9a-f]{60,66}",
        "retry-after: ([-0-9a-zA-Z:, ]{0,30}|[0-9]{15,20}|Fri, 31 Dec 9999 23:59:59 GMT)",
        "(ratelimit-remaining|ratelimit-limit): [0-9]{1,20};w=[0-9]{1,20}",
        "(ratelimit-limit|ratelimit-remaining|range|content-length|oci-subject|www-authenticate): [!-~]{0,40}",
    ]
}

fn answers() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        4 => prop::sample::select(vec![200u16, 201, 202, 206, 307, 401, 403, 404, 405, 416, 429, 503]),
        1 => 100..600u16,
    ];
    let body = prop_oneof![
        Just("0123456789".to_owned()),
        "\\{\"(tags|token|manifests|errors)\":(\\[[a-z\",0-9{}:]{0,40}\\]|\"[a-z]{0,9}\")\\}",
        "[!-~\n]{0,60}",
    ];
    let one = (status, proptest::collection::vec(header(), 0..5), body)
        .prop_map(|(status, headers, body)| format!("{status}\n{}\n\n{body}", headers.join("\n")));
    proptest::collection::vec(one, 0..8).prop_map(|answers| answers.join("\n%\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_survived(verb in any::<u8>(), text in answers()) {
        script::act(verb, &text);
    }
}
