//! Does every fault look from outside as it should?

use super::*;

#[tokio::test]
async fn a_refusal_has_the_status_and_body_of_its_format() {
    let simulator = start().await;
    let table = [
        (
            "status=400",
            [
                (400, "invalid_request_error"),
                (400, "invalid_request_error"),
                (400, "INVALID_ARGUMENT"),
            ],
        ),
        (
            "status=401",
            [
                (401, "invalid_api_key"),
                (401, "authentication_error"),
                (400, "API_KEY_INVALID"),
            ],
        ),
        (
            "status=402",
            [
                (402, "Insufficient Balance"),
                (402, "billing_error"),
                (402, "FAILED_PRECONDITION"),
            ],
        ),
        (
            "status=403",
            [
                (403, "access"),
                (403, "permission_error"),
                (403, "PERMISSION_DENIED"),
            ],
        ),
        (
            "status=404",
            [
                (404, "model_not_found"),
                (404, "not_found_error"),
                (404, "NOT_FOUND"),
            ],
        ),
        (
            "context-length",
            [
                (400, "context_length_exceeded"),
                (400, "prompt is too long"),
                (400, "exceeds the maximum number of tokens"),
            ],
        ),
        (
            "content-filter",
            [
                (400, "content_policy_violation"),
                (200, "\"refusal\""),
                (200, "blockReason"),
            ],
        ),
        (
            "status=429",
            [
                (429, "rate_limit_exceeded"),
                (429, "rate_limit_error"),
                (429, "RESOURCE_EXHAUSTED"),
            ],
        ),
        (
            "quota",
            [
                (429, "insufficient_quota"),
                (402, "billing_error"),
                (429, "PerDay"),
            ],
        ),
        (
            "status=500",
            [(500, "server_error"), (500, "api_error"), (500, "INTERNAL")],
        ),
        (
            "status=418",
            [(418, "<html>"), (418, "<html>"), (418, "<html>")],
        ),
        (
            "status=502",
            [(502, "<html>"), (502, "<html>"), (502, "<html>")],
        ),
        (
            "status=503",
            [
                (503, "server_is_overloaded"),
                (503, "api_error"),
                (503, "UNAVAILABLE"),
            ],
        ),
        (
            "status=529",
            [
                (529, "overloaded_error"),
                (529, "overloaded_error"),
                (529, "UNAVAILABLE"),
            ],
        ),
    ];

    for (fault, expected) in table {
        // Both APIs of OpenAI refuse alike.
        let expected = expected.into_iter().chain([expected[0]]);
        for (wire, (status, word)) in WIRES.into_iter().zip(expected) {
            for stream in [false, true] {
                let response = send(&simulator, wire, &format!("sim+{fault}"), stream).await;

                assert_eq!(response.status(), status, "{fault} {wire:?}");
                let body = response.text().await.unwrap();
                assert!(body.contains(word), "{fault} {wire:?}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_says_how_long_to_wait() {
    let simulator = start().await;
    let model = "sim+status=429+retry-after=1500ms";

    let openai = send(&simulator, OpenAiChat, model, true).await;
    let anthropic = send(&simulator, Anthropic, model, true).await;
    let gemini = send(&simulator, Gemini, model, true).await;

    assert_eq!(openai.headers()["retry-after-ms"], "1500");
    assert_eq!(openai.headers()["retry-after"], "2");
    assert_eq!(anthropic.headers()["retry-after"], "2");
    assert!(!gemini.headers().contains_key("retry-after"));
    let body = gemini.text().await.unwrap();
    assert!(body.contains(r#""retryDelay":"1.5s""#));
}

#[tokio::test]
async fn a_cut_ends_cleanly_but_without_an_end() {
    let simulator = start().await;

    for wire in WIRES {
        let early = stream(&simulator, wire, "sim+cut=5").await;
        let late = stream(&simulator, wire, "sim+cut=1000").await;
        let body = send(&simulator, wire, "sim+cut=12", false)
            .await
            .text()
            .await;

        assert_eq!(text_of(wire, &early).trim_end(), text(5));
        assert_eq!(text_of(wire, &late), text(24));
        for ends in ["[DONE]", "finish_reason\":\"", "message_stop", "STOP"] {
            assert!(!late.concat().contains(ends), "{wire:?}");
        }
        assert!(serde_json::from_str::<Value>(&body.unwrap()).is_err());
    }
}

#[tokio::test]
async fn a_lost_connection_is_an_error_after_the_tokens_before_it() {
    let simulator = start().await;

    for wire in WIRES {
        for fault in ["disconnect=5", "reset=5"] {
            let mut response = send(&simulator, wire, &format!("sim+{fault}"), true).await;
            let mut bytes = Vec::new();
            let error = loop {
                match response.chunk().await {
                    Ok(chunk) => bytes.extend(chunk.expect("no clean end")),
                    Err(error) => break error,
                }
            };

            let events = events(&String::from_utf8(bytes).unwrap());
            assert_eq!(text_of(wire, &events).trim_end(), text(5), "{wire:?}");
            let reset = format!("{error:?}").contains("ConnectionReset");
            assert_eq!(reset, fault.starts_with("reset"), "{error:?}");
        }
        let response = request(&simulator, wire, "sim+reset", true).send().await;
        assert!(
            format!("{response:?}").contains("ConnectionReset"),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn what_hangs_goes_so_far_and_no_further() {
    let simulator = start().await;

    for wire in WIRES {
        for (fault, expected) in [
            ("stall=5", text(5) + " "),
            ("role-only", String::new()),
            ("open-end", text(24)),
        ] {
            let model = format!("sim+{fault}");
            let mut response = send(&simulator, wire, &model, true).await;
            read_until(wire, &mut response, &expected).await;
            drop(response);
        }
        let silent = send(&simulator, wire, "sim+silence", true).await;
        assert_eq!(silent.status(), StatusCode::OK);
        drop(silent);
    }
    let ended = |log: &[Received]| log.iter().all(|request| request.ending.is_some());
    simulator.wait_for(ended).await;

    for request in simulator.requests() {
        assert_eq!(request.ending, Some(Ending::ClientClosed));
    }
}

#[tokio::test]
async fn pings_never_end() {
    let simulator = start().await;

    for (wire, ping) in WIRES.into_iter().zip([":", "event: ping", ":", ":"]) {
        for model in ["sim+pings", "sim+pings=1ms"] {
            let mut response = send(&simulator, wire, model, true).await;
            let mut bytes = Vec::new();
            while bytes.len() < 1000 {
                bytes.extend(response.chunk().await.unwrap().expect("no end"));
            }
            let lines = String::from_utf8(bytes).unwrap();
            assert!(lines.starts_with(ping), "{lines}");
        }
    }
}

#[tokio::test]
async fn an_error_event_ends_a_stream() {
    let simulator = start().await;

    for wire in WIRES {
        for (after, said) in [(0, String::new()), (5, text(5) + " ")] {
            let events = stream(&simulator, wire, &format!("sim+error={after}")).await;

            assert_eq!(text_of(wire, &events), said);
            let error: Value = serde_json::from_str(events.last().unwrap()).unwrap();
            assert!(error["error"]["message"].is_string(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_broken_event_stands_among_good_ones() {
    let simulator = start().await;

    for wire in WIRES {
        let events = stream(&simulator, wire, "sim+malformed=5").await;
        let response = send(&simulator, wire, "sim+half-character=5", true).await;
        let bytes = response.bytes().await.unwrap();

        let broken =
            |event: &&String| *event != "[DONE]" && serde_json::from_str::<Value>(event).is_err();
        assert_eq!(events.iter().filter(broken).count(), 1);
        assert_eq!(text_of(wire, &events), text(24));
        let error = std::str::from_utf8(&bytes).unwrap_err();
        assert_eq!(error.error_len(), Some(1));
        let rest = String::from_utf8_lossy(&bytes);
        assert_eq!(
            text_of(wire, &super::events(&rest)).replace('\u{fffd}', ""),
            text(24)
        );
    }
}

#[tokio::test]
async fn success_without_an_answer() {
    let simulator = start().await;

    for wire in WIRES {
        for stream in [false, true] {
            let page = send(&simulator, wire, "sim+html", stream).await;
            let empty = send(&simulator, wire, "sim+empty", stream).await;
            let error = send(&simulator, wire, "sim+error-body", stream).await;

            assert_eq!(page.status(), StatusCode::OK);
            assert_eq!(page.headers()["content-type"], "text/html; charset=UTF-8");
            assert_eq!(empty.status(), StatusCode::OK);
            assert_eq!(empty.text().await.unwrap(), "");
            assert_eq!(error.status(), StatusCode::OK);
            assert!(error.text().await.unwrap().contains(r#""error":{"#));
        }
    }
}

#[tokio::test]
async fn small_deviations_leave_the_text_alone() {
    let simulator = start().await;

    for wire in WIRES {
        let no_end = stream(&simulator, wire, "sim+no-end").await;
        let no_usage = stream(&simulator, wire, "sim+no-usage").await;
        let plain = send(&simulator, wire, "sim+plain", true).await;
        let whole = send(&simulator, wire, "sim+whole", true).await;

        assert_eq!(text_of(wire, &no_end), text(24));
        assert!(!no_end.concat().contains("[DONE]"));
        assert!(!no_end.concat().contains("message_stop"));
        assert_eq!(text_of(wire, &no_usage), text(24));
        assert!(!no_usage.concat().contains(r#""usage"#));
        assert_eq!(plain.headers()["content-type"], "text/plain; charset=utf-8");
        let plain = plain.text().await.unwrap();
        assert_eq!(text_of(wire, &events(&plain)), text(24));
        let whole: Value = serde_json::from_str(&whole.text().await.unwrap()).unwrap();
        assert!(whole.to_string().contains(&text(24)));
    }
}

#[tokio::test]
async fn a_long_line_comes_before_the_answer() {
    let simulator = start().await;

    let body = send(&simulator, Gemini, "sim+long-line", true).await;

    let body = body.text().await.unwrap();
    assert!(body.lines().next().unwrap().len() > 10_000_000);
    assert_eq!(text_of(Gemini, &events(&body)), text(24));
}

#[tokio::test]
async fn slices_are_written_one_by_one() {
    let simulator = start().await;

    for model in ["sim+slice=1+tokens=5", "sim+slice=3+tokens=5+drip=1ms"] {
        let mut response = send(&simulator, Anthropic, model, true).await;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            assert!(chunk.len() <= 3);
            bytes.extend(chunk);
        }

        let events = events(&String::from_utf8(bytes).unwrap());
        assert_eq!(text_of(Anthropic, &events), text(5));
    }
}

#[tokio::test]
async fn a_share_of_the_requests_fails() {
    let simulator = start().await;

    let mut failed = 0;
    for _ in 0..100 {
        let response = send(&simulator, OpenAiChat, "sim+status=500+ratio=0.2", false).await;
        failed += usize::from(response.status() != StatusCode::OK);
    }

    let noted = simulator
        .requests()
        .iter()
        .filter(|request| request.faulty)
        .count();
    assert_eq!(noted, failed);
    assert!((8..35).contains(&failed), "{failed}");
}
