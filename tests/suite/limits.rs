//! What does a caller learn of the limits that it is held to?

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{LimitState, LimitUnit, WhoAmIRequest};

use crate::support::Gateway;

const CONFIG: &str = r#"
[models."openai/first"]
price = { input = 1, output = 2 }
[scenarios.s]
targets = ["openai/first"]
[[limits]]
id = "caller-day"
per = ["caller"]
requests = 100
window = "day"
[[limits]]
id = "everybody"
money = "500 USD"
window = "month"
enforcement = "watch"
[[limits]]
id = "others"
match = { accounts = ["sso:somebody-else"] }
tokens = 100
window = "hour"
"#;

#[tokio::test]
async fn a_caller_sees_its_own_counters_and_not_those_of_all() {
    let gateway = Gateway::start(CONFIG).await;
    let mut callers = CallerServiceClient::new(gateway.channel());

    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();

    let [state] = &told.into_inner().limits[..] else {
        panic!("not one counter");
    };
    let LimitState {
        limit_id,
        key,
        amount,
        used,
        reserved,
        window_start_time,
        window_end_time,
        ..
    } = state;
    assert_eq!(limit_id, "caller-day");
    assert_eq!(key["caller"], "local");
    assert_eq!(state.unit(), LimitUnit::Requests);
    assert_eq!((*amount, *used, *reserved), (100, 0, 0));
    let (start, end) = (window_start_time.unwrap(), window_end_time.unwrap());
    assert_eq!(end.seconds - start.seconds, 86_400);
}
