//! The memory store passes the conformance suite.

use chatcamp_store::{memory, testing};

#[tokio::test]
async fn the_memory_store_passes_the_suite() {
    testing::suite(async || memory::Store::new()).await;
}
