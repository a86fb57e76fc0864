//! Tests the rules that every store must keep.

use std::fmt::Debug;

use super::{Store, StoreError};
use crate::content::Content;

/// Calls every function of a store, and compares its answers with the promises of the draft and of this crate.
///
/// `bucket` must exist and have no keys. It has none afterwards, if the store conforms. A store that answers
/// [`StoreError::Unsupported`] to `get-many` or `set-many` conforms. Run it for a new store against its real server.
///
/// ```
/// use inbound_keyvalue_host::store::{MemoryStore, block_on, conforms};
///
/// assert_eq!(block_on(conforms(&MemoryStore::new(), "bucket")), Ok(()));
/// ```
///
/// # Errors
///
/// A message with the first wrong answer.
pub async fn conforms(store: &dyn Store, bucket: &str) -> Result<(), String> {
    values(store, bucket).await?;
    numbers(store, bucket).await?;
    batches(store, bucket).await
}

fn same<T: PartialEq + Debug>(what: &str, is: &T, due: &T) -> Result<(), String> {
    if is == due { Ok(()) } else { Err(format!("{what}: the store answered {is:?}, and {due:?} is right")) }
}

fn bytes(content: Result<Content, StoreError>) -> Result<Vec<u8>, StoreError> {
    let content = content?;
    content.read(0, content.len()).map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn no_key<T>(key: &str) -> Result<T, StoreError> {
    Err(StoreError::NoKey(key.to_owned()))
}

async fn values(store: &dyn Store, bucket: &str) -> Result<(), String> {
    same("open-bucket", &store.open(bucket).wait().await, &Ok(()))?;
    same("get-keys of an empty bucket", &store.keys(bucket).wait().await, &Ok(vec![]))?;
    same("exists without the key", &store.exists(bucket, "a").wait().await, &Ok(false))?;
    same("get without the key", &bytes(store.get(bucket, "a").wait().await), &no_key("a"))?;
    same("delete without the key", &store.delete(bucket, "a").wait().await, &no_key("a"))?;
    for value in [&b"first"[..], b"", &[0, 159, 255, 10]] {
        same("set", &store.set(bucket, "a", value.to_vec().into()).wait().await, &Ok(()))?;
        same("get after set", &bytes(store.get(bucket, "a").wait().await), &Ok(value.to_vec()))?;
        same("exists after set", &store.exists(bucket, "a").wait().await, &Ok(true))?;
    }
    same("delete", &store.delete(bucket, "a").wait().await, &Ok(()))?;
    same("exists after delete", &store.exists(bucket, "a").wait().await, &Ok(false))?;
    same("get after delete", &bytes(store.get(bucket, "a").wait().await), &no_key("a"))?;
    same("delete after delete", &store.delete(bucket, "a").wait().await, &no_key("a"))?;
    same("get-keys after delete", &store.keys(bucket).wait().await, &Ok(vec![]))
}

async fn numbers(store: &dyn Store, bucket: &str) -> Result<(), String> {
    let swap = |old, new| store.compare_and_swap(bucket, "n", old, new).wait();
    same("compare-and-swap without the key", &swap(0, 1).await, &no_key("n"))?;
    same("increment without the key", &store.increment(bucket, "n", 41).wait().await, &Ok(41))?;
    same("increment", &store.increment(bucket, "n", 1).wait().await, &Ok(42))?;
    same("get of a number", &bytes(store.get(bucket, "n").wait().await), &Ok(b"42".to_vec()))?;
    same("compare-and-swap of another number", &swap(41, 7).await, &Ok(false))?;
    same("compare-and-swap", &swap(42, u64::MAX).await, &Ok(true))?;
    let overflow = Err(StoreError::Overflow("n".to_owned()));
    same("increment above the largest number", &store.increment(bucket, "n", 1).wait().await, &overflow)?;
    same("the number after that", &bytes(store.get(bucket, "n").wait().await), &Ok(u64::MAX.to_string().into_bytes()))?;
    same("set to a text", &store.set(bucket, "n", "4 2".into()).wait().await, &Ok(()))?;
    let text = StoreError::NotANumber("n".to_owned());
    same("increment of a text", &store.increment(bucket, "n", 1).wait().await, &Err(text.clone()))?;
    same("compare-and-swap of a text", &swap(4, 2).await, &Err(text))?;
    same("delete of a number", &store.delete(bucket, "n").wait().await, &Ok(()))?;
    same("increment after delete", &store.increment(bucket, "n", 3).wait().await, &Ok(3))?;
    same("delete at the end", &store.delete(bucket, "n").wait().await, &Ok(()))
}

async fn batches(store: &dyn Store, bucket: &str) -> Result<(), String> {
    let pairs = || vec![("x".to_owned(), Content::from("1")), ("y.z".to_owned(), Content::from("2"))];
    match store.set_many(bucket, pairs()).wait().await {
        Err(StoreError::Unsupported(_)) => {
            for (key, content) in pairs() {
                same("set", &store.set(bucket, &key, content).wait().await, &Ok(()))?;
            }
        }
        set => same("set-many", &set, &Ok(()))?,
    }
    let mut keys = store.keys(bucket).wait().await;
    if let Ok(keys) = &mut keys {
        keys.sort();
    }
    same("get-keys", &keys, &Ok(vec!["x".to_owned(), "y.z".to_owned()]))?;
    let many = async |keys: &[&str]| match store.get_many(bucket, keys).wait().await {
        Err(StoreError::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
        Ok(contents) => contents.into_iter().map(|content| bytes(Ok(content))).collect::<Result<Vec<_>, _>>().map(Some),
    };
    let all = many(&["y.z", "x"]).await;
    if all != Ok(None) {
        same("get-many in the order of the keys", &all, &Ok(Some(vec![b"2".to_vec(), b"1".to_vec()])))?;
        same("get-many with a key that is not set", &many(&["x", "q"]).await, &no_key("q"))?;
    }
    same("delete-many passes over others", &store.delete_many(bucket, &["x", "q", "y.z"]).wait().await, &Ok(()))?;
    same("get-keys after delete-many", &store.keys(bucket).wait().await, &Ok(vec![]))
}
