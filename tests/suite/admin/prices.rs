//! Do prices that administrators put hold for the next call, read back in every field, and leave what was used alone?

use std::time::{Duration, SystemTime};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{
    CostSource, GenerateResponse, ListAuditEventsRequest, ListPricesRequest, Price,
    PutPricesRequest, PutPricesResponse, ServiceTier, ToolFees,
};
use tonic::{Code, Status};

use crate::support::{ask, details, scratch};

use super::support::{AdminClient, Administered};

const MODEL: &str = "openai/first";

fn price(input_pico: i64, output_pico: i64) -> Price {
    Price {
        model: MODEL.to_owned(),
        input_pico: Some(input_pico),
        output_pico: Some(output_pico),
        ..Price::default()
    }
}

async fn put(admin: &mut AdminClient, prices: Vec<Price>) -> Result<PutPricesResponse, Status> {
    let request = PutPricesRequest {
        prices,
        comment: "a test".to_owned(),
        ..PutPricesRequest::default()
    };
    let answer = admin.put_prices(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn list(admin: &mut AdminClient, request: ListPricesRequest) -> Vec<Price> {
    let mut prices = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = ListPricesRequest {
            page_token,
            ..request.clone()
        };
        let page = admin.list_prices(page).await.unwrap().into_inner();
        prices.extend(page.prices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return prices;
        }
    }
}

/// Seconds since 1970 of a moment so many seconds from now.
fn at(seconds: i64) -> prost_types::Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    prost_types::Timestamp {
        seconds: i64::try_from(now.unwrap().as_secs()).unwrap() + seconds,
        nanos: 0,
    }
}

async fn cost(administered: &Administered) -> (i64, CostSource) {
    let (_, secret) = {
        let mut admin = administered.client().await;
        administered.key(&mut admin, "indexer").await
    };
    let request = super::support::authorized(tonic::Request::new(ask("one", "Hello")), &secret);
    let mut client = GenerationServiceClient::new(administered.gateway.channel());
    let answer: GenerateResponse = client.generate(request).await.unwrap().into_inner();
    let cost = answer.cost.unwrap();
    (cost.amount_nanos, cost.source())
}

#[tokio::test]
async fn every_field_of_a_price_that_is_put_reads_back() {
    let administered = Administered::start("prices-read-back", "").await;
    let mut admin = administered.client().await;
    let mut random = fastrand::Rng::with_seed(13);
    let mut wanted = Vec::new();
    let tiers = [
        ServiceTier::Standard,
        ServiceTier::Priority,
        ServiceTier::Flex,
        ServiceTier::Batch,
    ];
    for number in 0..400_i64 {
        let mut rate = |most: i64| match random.u8(0..4) {
            0 => None,
            1 => Some(0),
            2 => Some(most),
            _ => Some(random.i64(0..=most)),
        };
        let (rates, fees): (Vec<_>, Vec<_>) = (
            (0..6).map(|_| rate(1_000_000_000_000)).collect(),
            (0..5).map(|_| rate(1_000_000_000_000_000)).collect(),
        );
        let begins = 1_000 * (number / 8) + 100;
        let has_end = random.bool() || number < 392;
        let fees_of_tools = ToolFees {
            web_search_nanos: fees[0],
            web_fetch_nanos: fees[1],
            code_execution_nanos: fees[2],
            file_search_nanos: fees[3],
        };
        wanted.push(Price {
            model: MODEL.to_owned(),
            service_tier: tiers[usize::try_from(number % 4).unwrap()].into(),
            input_tokens_above: [0, random.i64(1..=1_000_000_000)][usize::from(number % 8 > 3)],
            start_time: Some(at(begins)),
            end_time: has_end.then(|| at(begins + random.i64(1..900))),
            input_pico: rates[0],
            output_pico: rates[1],
            cache_read_pico: rates[2],
            cache_write_pico: rates[3],
            cache_write_long_pico: rates[4],
            reasoning_pico: rates[5],
            tool_fees: (fees_of_tools != ToolFees::default()).then_some(fees_of_tools),
            request_nanos: fees[4].unwrap_or(0),
            source: String::new(),
            prices_version: String::new(),
        });
    }

    let done = put(&mut admin, wanted.clone()).await.unwrap();
    let listed = list(
        &mut admin,
        ListPricesRequest {
            page_size: 37,
            ..ListPricesRequest::default()
        },
    )
    .await;

    let mut differing = 0;
    for wanted in &wanted {
        let expected = Price {
            source: "store".to_owned(),
            prices_version: done.prices_version.clone(),
            ..wanted.clone()
        };
        differing += usize::from(!listed.contains(&expected));
        differing += usize::from(!done.prices.contains(&expected));
    }
    println!(
        "prices put: {}, that read back otherwise: {differing}",
        wanted.len()
    );
    assert_eq!((differing, listed.len()), (0, wanted.len()));
    let mut sorted = listed.clone();
    sorted.sort_by_key(|price| {
        let start = price.start_time.map(|start| start.seconds);
        (price.service_tier, price.input_tokens_above, start)
    });
    assert_eq!(listed, sorted);
}

#[tokio::test]
async fn a_price_holds_for_the_next_call_and_for_none_that_has_begun() {
    let administered = Administered::start("prices-hold", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "indexer").await;
    assert_eq!(cost(&administered).await, (0, CostSource::Unknown));

    let first = put(&mut admin, vec![price(1_000_000, 0)]).await.unwrap();
    let (one, source) = cost(&administered).await;
    assert_eq!(source, CostSource::PriceTable);
    assert!(one > 0);
    let second = put(&mut admin, vec![price(3_000_000, 0)]).await.unwrap();

    // Two prices of one second follow each other.
    let begins = second.prices[0].start_time.unwrap();
    let begins = SystemTime::try_from(begins).unwrap();
    while SystemTime::now() < begins {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cost(&administered).await, (3 * one, CostSource::PriceTable));
    assert_ne!(first.prices_version, second.prices_version);
    let ended = &second.ended[0];
    assert_eq!(ended.end_time, second.prices[0].start_time);
    assert_eq!(ended.input_pico, Some(1_000_000));
    let now = ListPricesRequest {
        at_time: Some(at(0)),
        ..ListPricesRequest::default()
    };
    assert_eq!(list(&mut admin, now).await, second.prices);

    // What is put again as it stands changes nothing, and writes nothing down.
    let again = put(&mut admin, vec![price(3_000_000, 0)]).await.unwrap();
    assert_eq!((again.prices, again.ended), (second.prices, vec![]));
    let events = ListAuditEventsRequest {
        subject: format!("price/{MODEL}"),
        ..ListAuditEventsRequest::default()
    };
    let events = admin.list_audit_events(events).await.unwrap().into_inner();
    let events = events.events;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.action == "price.put"));
    assert!(events[0].before_json.contains("1000000"), "{events:?}");
    assert!(events[0].after_json.contains("3000000"), "{events:?}");
    assert_eq!(events[0].comment, "a test");
}

#[tokio::test]
async fn a_wrong_price_is_refused_with_its_field_and_nothing_is_written() {
    let administered = Administered::start("prices-wrong", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "indexer").await;
    put(&mut admin, vec![price(5, 6)]).await.unwrap();
    cost(&administered).await;
    let table = [
        (
            Price {
                model: "openai/frist".to_owned(),
                ..price(1, 1)
            },
            "prices[0].model",
            "openai/first",
        ),
        (
            Price {
                model: String::new(),
                ..price(1, 1)
            },
            "prices[0].model",
            "required",
        ),
        (price(-1, 1), "prices[0].input_pico", "0 to 1000000000000"),
        (
            Price {
                request_nanos: i64::MAX,
                ..price(1, 1)
            },
            "prices[0].request_nanos",
            "0 to",
        ),
        (
            Price {
                service_tier: 99,
                ..price(1, 1)
            },
            "prices[0].service_tier",
            "ServiceTier",
        ),
        (
            Price {
                start_time: Some(at(60)),
                end_time: Some(at(60)),
                ..price(1, 1)
            },
            "prices[0].end_time",
            "beginning",
        ),
        (
            Price {
                start_time: Some(prost_types::Timestamp {
                    nanos: 1_000,
                    ..at(60)
                }),
                ..price(1, 1)
            },
            "prices[0].start_time",
            "whole seconds",
        ),
        // It would hold for attempts that were priced.
        (
            Price {
                start_time: Some(at(-3_600)),
                ..price(1, 1)
            },
            "prices[0]",
            "the price of `openai/first`",
        ),
    ];
    for (price, field, what) in table {
        let refused = put(&mut admin, vec![price]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(field), "{refused}");
        assert!(refused.message().contains(what), "{refused}");
        assert_eq!(details(&refused).reason, "INVALID_REQUEST", "{refused}");
    }
    let refused = put(&mut admin, Vec::new()).await.unwrap_err();
    assert!(refused.message().contains("prices"), "{refused}");
    let both = vec![
        Price {
            start_time: Some(at(900)),
            service_tier: ServiceTier::Flex.into(),
            ..price(1, 1)
        },
        Price {
            start_time: Some(at(990)),
            service_tier: ServiceTier::Flex.into(),
            ..price(2, 1)
        },
    ];
    let refused = put(&mut admin, both).await.unwrap_err();
    assert!(refused.message().contains("prices[1]"), "{refused}");
    assert!(
        refused.message().contains("in tier `flex` from "),
        "{refused}"
    );

    let dry = PutPricesRequest {
        prices: vec![price(9, 9)],
        dry_run: true,
        ..PutPricesRequest::default()
    };
    let told = admin.put_prices(dry).await.unwrap().into_inner();
    assert_eq!(told.ended.len(), 1);
    let listed = list(&mut admin, ListPricesRequest::default()).await;
    assert_eq!(listed.len(), 1);
    assert_ne!(told.prices_version, listed[0].prices_version);
}

#[tokio::test]
async fn prices_of_the_configuration_are_listed_and_cannot_be_changed() {
    let file = scratch::file(
        "prices.toml",
        "[[price]]\nmodel = \"openai/first\"\ninput = 5\noutput = 6\n",
    );
    let more = format!("[prices]\nfile = {:?}\n", file.display().to_string());
    let administered = Administered::start("prices-file", &more).await;
    let mut admin = administered.client().await;

    let refused = put(&mut admin, vec![price(1, 1)]).await.unwrap_err();
    let beside = Price {
        input_tokens_above: 200_000,
        ..price(7, 8)
    };
    put(&mut admin, vec![beside]).await.unwrap();

    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("prices[0]"), "{refused}");
    assert!(refused.message().contains("prices.toml"), "{refused}");
    let listed = list(&mut admin, ListPricesRequest::default()).await;
    let sources: Vec<_> = listed.iter().map(|price| &*price.source).collect();
    assert_eq!(sources, ["file", "store"]);
    assert_eq!(listed[0].input_pico, Some(5_000_000));
    assert_eq!(listed[0].start_time, None);
}
