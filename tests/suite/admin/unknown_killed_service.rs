//! Is every attempt whose price came late priced once, if the service that is asked to do it is killed meanwhile?

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{Price, PriceUnknownRequest, PutPricesRequest, WhoAmIRequest};
use modelway::ledger::export::ExportFormat;
use modelway::server::ListenAddress;
use prost_types::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ledger_reading::exported;
use crate::support::{Process, nobody};

use super::support::{AdminClient, client_at, keys, secret_of};
use super::unknown_killed::{CALLS, PATIENCE, Unpriced};

/// How many attempts must have been priced when the service is killed. It prices a hundred calls at a time. Of none: as soon
/// as it has written down that it begins.
const MOMENTS: [i64; 7] = [0, 1, 150, 400, 750, 1_100, 1_400];

const BEGUN: &str = "price.unknown.begin";

fn request() -> PriceUnknownRequest {
    PriceUnknownRequest {
        start_time: Some(Timestamp {
            seconds: 1_577_836_800,
            nanos: 0,
        }),
        ..PriceUnknownRequest::default()
    }
}

/// What is used of the limit.
async fn used(process: &Process) -> i64 {
    let mut callers = CallerServiceClient::new(process.connect().await);
    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    let [spent] = &told.into_inner().limits[..] else {
        panic!("one limit");
    };
    assert_eq!((&*spent.limit_id, spent.reserved), ("spent", 0));
    spent.used
}

/// How many events of this sort the audit record has.
fn events(unpriced: &Unpriced) -> i64 {
    let control = unpriced.data.join("control.db");
    let control = Connection::open_with_flags(control, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let select = "SELECT count(*) FROM audit WHERE action = ?1";
    control
        .query_row(select, [BEGUN], |row| row.get(0))
        .unwrap()
}

/// Asks for what is unknown to be priced, and kills the service once so many attempts have been priced. Whether it was
/// killed before it could answer.
async fn killed_at(
    moment: i64,
    process: Process,
    mut admin: AdminClient,
    unpriced: &Unpriced,
) -> bool {
    let (before, begun) = (unpriced.corrected(), events(unpriced));
    let mut asked = JoinSet::new();
    asked.spawn(async move { admin.price_unknown(request()).await });
    let reached = async {
        loop {
            let corrected = unpriced.corrected();
            let is_reached = match moment {
                0 => events(unpriced) > begun,
                // What was priced by services before counts, too, but this one must have done something.
                _ => corrected == CALLS || corrected >= moment && corrected > before,
            };
            if is_reached {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.expect("it is at work");
    // Dropped, it is killed.
    drop(process);
    let answered = timeout(PATIENCE, asked.join_next()).await;
    let answered = answered.expect("an answer, or none").unwrap();
    answered.unwrap().is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_whose_price_came_late_are_priced_once_though_the_service_that_does_it_is_killed()
{
    let address = nobody();
    let more = format!(
        "[admin]\nlisten = '{address}'\n[[limits]]\nid = 'spent'\nper = ['caller']\nmoney = '5000 USD'\nwindow = 'total'\n\
         enforcement = 'watch'\n"
    );
    let unpriced = Unpriced::make("unknown-killed-service", &more).await;
    let wishes = ["create", "--caller", "ops", "--admin", "ADMIN_PRICES"];
    let ops = secret_of(&keys(&unpriced.data, &wishes));
    let start = async || {
        let process = Process::serve(Some(&unpriced.config), &[]);
        let admin = client_at(&ListenAddress::Tcp(address), &ops).await;
        (process, admin)
    };
    let (mut process, mut admin) = start().await;
    let price = Price {
        model: "p/m".to_owned(),
        input_pico: Some(2_500_003),
        output_pico: Some(10_000_007),
        start_time: request().start_time,
        ..Price::default()
    };
    let prices = PutPricesRequest {
        prices: vec![price],
        ..PutPricesRequest::default()
    };
    admin.put_prices(prices).await.unwrap();

    let (mut killed, mut at) = (0, Vec::new());
    for moment in MOMENTS {
        killed += usize::from(killed_at(moment, process, admin, &unpriced).await);
        (process, admin) = start().await;
        // What was written is whole, and the limit begins with it.
        at.push(unpriced.corrected());
        assert_eq!(used(&process).await, unpriced.nanos());
    }
    let rest = admin.price_unknown(request()).await.unwrap().into_inner();
    let again = admin.price_unknown(request()).await.unwrap().into_inner();

    let nanos = unpriced.priced();
    let partly = at.iter().filter(|corrected| **corrected < CALLS).count();
    assert!(killed > 0 && partly > 0, "{killed}: {at:?}");
    assert_eq!(rest.attempts, CALLS - at.last().unwrap());
    assert_eq!((again.attempts, again.still_unknown), (0, 0));
    assert_eq!(used(&process).await, nanos);
    process.terminate();
    assert!(process.ended().await.0.success());
    assert_eq!(unpriced.priced(), nanos);
    for format in [ExportFormat::FocusCsv, ExportFormat::JsonLines] {
        let (_, summary) = exported(&unpriced.data, format, false);
        assert_eq!(summary.cost_nanos, nanos);
    }
    println!(
        "services killed while they priced {CALLS} attempts: {}, {killed} before their answer, with {at:?} attempts priced \
         by then; priced twice: 0, drift of sums, limit and exports from {nanos} nano-USD: 0",
        MOMENTS.len()
    );
}
