//! Is the room for requests never given twice, and given back whole?

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::admission::room::{Held, Room, RoomLimits};
use crate::caller::Caller;

const LIMITS: RoomLimits = RoomLimits {
    requests: 10,
    requests_per_caller: 8,
    unfinished: 6,
};

/// Requests of one caller come in pieces, find room or none, become larger or smaller, and end.
pub fn is_given_back() {
    let room = Arc::new(Room::new(LIMITS));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let room = Arc::clone(&room);
            thread::spawn(move || request(&room))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }

    assert_eq!(room.taken(), 0);
    let whole = Held::new(&room, &room.share(Caller::Unknown));
    whole
        .grow(LIMITS.requests_per_caller)
        .expect("the share is free");
}

fn request(room: &Arc<Room>) {
    let held = Held::new(room, &room.share(Caller::Unknown));
    for _ in 0..2 {
        // One that finds no room goes on with what it has.
        let _ = held.grow_unfinished(thread_rng().gen_range(1..4));
        assert!(room.taken() <= LIMITS.requests);
    }
    held.finish();
    let _ = held.resize(thread_rng().gen_range(0..8));
    assert!(room.taken() <= LIMITS.requests);
}
