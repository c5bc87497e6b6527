//! Does every call leave one line in the log that says how it ended?

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::grpc::v1::GenerateRequest;
use modelway::simulator::Behaviour;
use tokio::time::timeout;
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Gateway, METHODS, Method, ask, subscribe};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(5);

const CONFIG: &str = r#"
[models."openai/model"]
[scenarios.only]
targets = ["openai/model"]
"#;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        subscribe(subscriber)
    }

    /// The lines of calls that have ended, once there are so many.
    async fn ends(&self, count: usize) -> Vec<String> {
        let ends = async {
            loop {
                let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
                let ends = log.lines().filter(|line| line.contains("call ended"));
                let ends: Vec<_> = ends.map(str::to_owned).collect();
                if ends.len() >= count {
                    return ends;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PROMPTLY, ends).await.expect("the calls end")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn make(gateway: &Gateway, method: Method, request: GenerateRequest) {
    // The log tells how it ends.
    let _ = gateway.call(method, request).await;
}

#[tokio::test]
async fn every_call_leaves_one_line_with_its_caller_its_end_and_who_answered() {
    for method in METHODS {
        let log = Log::default();
        let _subscriber = log.listen();
        let gateway = Gateway::start(CONFIG).await;
        let behave = |behaviour: &str| {
            let behaviour = behaviour.parse::<Behaviour>().unwrap();
            gateway.simulator.set("model", behaviour);
        };

        behave("tokens=2");
        make(&gateway, method, ask("only", "Hello")).await;
        log.ends(1).await;
        behave("status=400");
        make(&gateway, method, ask("only", "Hello")).await;
        log.ends(2).await;
        make(&gateway, method, ask("unknown", "Hello")).await;
        let ends = log.ends(3).await;

        assert_eq!(ends.len(), 3, "{ends:#?}");
        let [answered, failed, refused] = &ends[..] else {
            panic!("{ends:#?}");
        };
        for end in &ends {
            assert!(end.contains("caller=127.0.0.1 "), "{end}");
            assert!(end.contains(" seconds="), "{end}");
        }
        assert!(answered.contains("code=\"OK\""), "{answered}");
        assert!(answered.contains("model=\"openai/model\""), "{answered}");
        assert!(!answered.contains("reason="), "{answered}");
        assert!(failed.contains("code=\"INVALID_ARGUMENT\""), "{failed}");
        assert!(failed.contains("reason=\"INVALID_REQUEST\""), "{failed}");
        assert!(!failed.contains("model="), "{failed}");
        assert!(failed.contains("attempts=1"), "{failed}");
        assert!(
            refused.contains("reason=\"SCENARIO_NOT_FOUND\""),
            "{refused}"
        );
        assert!(refused.contains("attempts=0"), "{refused}");
    }
}
