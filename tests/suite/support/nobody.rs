//! Where on this machine does nobody listen, until a test lets somebody listen there?

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// An address at which nobody listens, but who is told of it: a connection is refused, and a listener can have it.
///
/// Its port stays taken. One that was looked up and let go of could be given to another test, which listens or connects
/// from there.
pub(crate) fn nobody() -> SocketAddr {
    static TAKEN: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // A listener that allows the same, as all of ours do, can have the address beside a socket that does not listen.
    socket.set_reuse_address(true).unwrap();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&anywhere.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    TAKEN.lock().unwrap().push(socket);
    address
}

#[test]
fn a_connection_to_nobody_is_refused_until_somebody_listens_there() {
    let address = nobody();

    let before = TcpStream::connect(address).map(drop);
    let listener = TcpListener::bind(address);
    let meanwhile = TcpStream::connect(address).map(drop);
    drop(listener.unwrap());
    let after = TcpStream::connect(address).map(drop);

    let refused = std::io::ErrorKind::ConnectionRefused;
    assert_eq!(before.unwrap_err().kind(), refused);
    meanwhile.unwrap();
    assert_eq!(after.unwrap_err().kind(), refused);
}
