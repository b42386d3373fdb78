//! Requests and connections of clients that mean harm.

use super::*;

/// Returns a POST for the chat whose body has this length and does not follow.
fn post_of(host: &Host, length: usize) -> String {
    let headers = format!("\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    host.poll(1).replace("GET", "POST").replace("\r\n\r\n", &headers)
}

#[tokio::test]
async fn a_length_that_overflows_is_refused() {
    let host = Host::new(Limits::default()).await;
    for length in [usize::MAX, usize::MAX - 1, usize::MAX - 100, usize::MAX / 2] {
        let request = post_of(&host, length);
        assert_eq!(host.connect_in_memory().ask(&request).await, Some(413), "{length}");
        let preflight = request.replace("POST", "OPTIONS");
        assert_eq!(host.connect_in_memory().ask(&preflight).await, Some(204), "{length}");
    }
}
