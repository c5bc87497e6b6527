//! Does the log tell what was asked and how it ended?

use super::*;

#[tokio::test]
async fn a_request_is_noted_as_it_was_sent() {
    let simulator = start().await;

    let sent = request(&simulator, Anthropic, "sim", true)
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("x-api-key", "test")
        .send();
    sent.await.unwrap().text().await.unwrap();
    send(&simulator, Gemini, "other+cut=3", false).await;
    simulator
        .wait_for(|log| log.len() == 2 && log.iter().all(|request| request.ending.is_some()))
        .await;

    let [first, second] = &simulator.requests()[..] else {
        panic!("two requests");
    };
    assert_eq!((first.number, second.number), (0, 1));
    assert_eq!((first.wire, second.wire), (Some(Anthropic), Some(Gemini)));
    assert_eq!(first.model, "sim");
    assert_eq!(first.path, "/anthropic/v1/messages");
    assert_eq!((first.stream, second.stream), (true, false));
    assert_eq!(first.header("x-api-key"), Some("test"));
    assert!(first.header("traceparent").is_some());
    assert_eq!(first.json(), body(Anthropic, "sim", true));
    assert_eq!(second.behaviour.fault, Some(Fault::Cut { after: 3 }));
    assert_eq!((first.faulty, second.faulty), (false, true));
    assert_eq!(first.ending, Some(Ending::Completed));
    assert_eq!(second.ending, Some(Ending::Faulted));
    assert_eq!(simulator.requests_for("sim").len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_at_any_time() {
    let simulator = start().await;

    let before_the_head = tokio::select! {
        _ = request(&simulator, OpenAiChat, "sim+hang", true).send() => false,
        () = simulator.wait_for(|log| log.len() == 1) => true,
    };
    let between_tokens = send(&simulator, OpenAiChat, "sim+gap=1000s", true).await;
    drop(between_tokens);
    let in_a_flood = send(&simulator, OpenAiChat, "sim+pings", true).await;
    drop(in_a_flood);
    let ended = |log: &[Received]| log.iter().all(|request| request.ending.is_some());
    simulator.wait_for(ended).await;

    assert!(before_the_head);
    let endings: Vec<_> = simulator
        .requests()
        .iter()
        .map(|request| request.ending)
        .collect();
    assert_eq!(endings, [Some(Ending::ClientClosed); 3]);
}

#[tokio::test]
async fn a_paused_simulator_refuses_connections_and_comes_back() {
    let simulator = start().await;
    let open = send(&simulator, OpenAiChat, "sim+stall=3", true).await;

    simulator.pause().await;
    let broken = open.text().await;
    let refused = request(&simulator, OpenAiChat, "sim", true).send().await;
    simulator.resume().await.unwrap();
    let answered = stream(&simulator, OpenAiChat, "sim").await;

    assert!(broken.is_err());
    assert!(refused.unwrap_err().is_connect());
    assert_eq!(text_of(OpenAiChat, &answered), text(24));
    assert_eq!(simulator.requests()[0].ending, Some(Ending::Stopped));
}

#[tokio::test]
async fn the_log_keeps_the_newest_or_nothing() {
    for capacity in [0, 2] {
        let settings = Settings {
            log_capacity: capacity,
            ..Settings::default()
        };
        let simulator = Simulator::start(settings).await.unwrap();

        for _ in 0..4 {
            stream(&simulator, OpenAiChat, "sim").await;
        }

        let numbers: Vec<u64> = simulator
            .requests()
            .iter()
            .map(|request| request.number)
            .collect();
        assert_eq!(numbers, [2, 3][..capacity]);
    }
}
