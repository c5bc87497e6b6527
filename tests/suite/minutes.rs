//! Is a restart a free minute for callers that a limit by the minute holds back?

use modelway::simulator::Behaviour;
use tokio::time::Instant;
use tonic::Code;

use crate::ledger::table;
use crate::support::{Gateway, ask, scratch};

/// Each counter refills so slowly that a test sees no more than a piece of it.
const CONFIG: &str = r#"
[models."openai/first"]
price = { input = 0, output = 0 }
max_output_tokens = 100
[scenarios.s]
targets = ["openai/first"]
"#;

#[tokio::test]
async fn counters_by_the_minute_begin_with_the_last_minute_of_the_ledger() {
    for (limit, amount, of_call) in [
        ("requests = 5", 5_i64, 1_i64),
        // Each call is let through with a little of the minute left, and then owes.
        ("tokens = 4000", 4_000, 601),
    ] {
        let data = scratch::path("minutes");
        let limits = format!("[[limits]]\nid = \"m\"\nwindow = \"minute\"\n{limit}\n");
        let config = format!("{CONFIG}\n{limits}\n{}", table(&data, ""));
        let begun = Instant::now();
        let mut answered = 0;
        for start in 0..4 {
            let mut gateway = Gateway::start(&config).await;
            let behaviour = Behaviour {
                tokens: 100,
                ..Behaviour::default()
            };
            gateway.simulator.set("first", behaviour);
            let words = "word ".repeat(500);
            let mut refusal = None;
            while refusal.is_none() {
                match gateway.generate(ask("s", &words)).await {
                    Ok(_) => answered += 1,
                    Err(status) => refusal = Some(status.code()),
                }
                assert!(answered < 100);
            }
            assert_eq!(refusal, Some(Code::ResourceExhausted), "start {start}");
            gateway.stop();
            gateway.stopped().await;
        }
        let passed = begun.elapsed().as_secs_f64();

        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let most = (amount as f64) * (1.0 + passed / 60.0) / (of_call as f64) + 1.0;
        println!("{limit}: {answered} calls over four starts in {passed:.1} s, at most {most:.1}");
        assert!(f64::from(answered) <= most);
    }
}
