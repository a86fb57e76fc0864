//! A store in memory as lines of JSON.

use std::io::{self, BufRead, Write};

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::write::EncoderWriter;

use super::MemoryStore;
use crate::content::Content;
use crate::events::{BadLine, Events};

/// A larger content is written as base64, piece by piece, so that memory never holds it a second time.
const LONGEST_TEXT: u64 = 1 << 20;

/// The number of bytes of a content that are read at a time.
const PIECE: u64 = 48 * 1024;

impl MemoryStore {
    /// Sets the keys of a store's file, in the order of its lines.
    ///
    /// The file has the format of recorded [events](crate::Event), with sets only. The field `bucket` names a bucket. Lines
    /// without it set keys of the bucket `watched`. `lines` has the limits and the folder of the field `file`.
    ///
    /// # Errors
    ///
    /// At the first line that is not such a set, or cannot be read. The keys of the lines before it are set.
    ///
    /// ```
    /// use inbound_keyvalue_host::Events;
    /// use inbound_keyvalue_host::store::MemoryStore;
    ///
    /// let lines = r#"{"op":"set","key":"orders/1","value":"{}"}
    /// {"op":"set","bucket":"totals","key":"orders","value":"1"}"#;
    /// let store = MemoryStore::new();
    /// store.load(Events::new(lines.as_bytes()), "watched")?;
    /// assert_eq!((store.keys("watched"), store.keys("totals")), (vec!["orders/1".into()], vec!["orders".into()]));
    /// # Ok::<(), inbound_keyvalue_host::BadLine>(())
    /// ```
    pub fn load<R: BufRead>(&self, mut lines: Events<R>, watched: &str) -> Result<(), BadLine> {
        while let Some(entry) = lines.next_entry() {
            let entry = entry?;
            self.insert(entry.bucket.as_deref().unwrap_or(watched), &entry.key, entry.content);
        }
        Ok(())
    }

    /// Writes all keys of all buckets, as [`load`](Self::load) reads them: first those of the bucket `watched`, without the field
    /// `bucket`, and then the other buckets by their names.
    ///
    /// A content is in `value` if it is UTF-8 of at most 1 MiB, and otherwise in `base64`. [`load`](Self::load) restores every
    /// key and every content exactly.
    ///
    /// # Errors
    ///
    /// When `to` cannot be written, or a content is in a file that cannot be read.
    ///
    /// ```
    /// use inbound_keyvalue_host::store::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// store.insert("watched", "k", "v");
    /// let mut saved = Vec::new();
    /// store.save(&mut saved, "watched")?;
    /// assert_eq!(saved, b"{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn save(&self, to: &mut impl Write, watched: &str) -> io::Result<()> {
        let others = self.buckets().into_iter().filter(|bucket| bucket != watched).map(Some);
        for other in std::iter::once(None).chain(others) {
            for (key, content) in self.entries(other.as_deref().unwrap_or(watched)) {
                write_entry(to, other.as_deref(), &key, &content)?;
            }
        }
        Ok(())
    }
}

fn write_entry(to: &mut impl Write, bucket: Option<&str>, key: &str, content: &Content) -> io::Result<()> {
    to.write_all(br#"{"op":"set","#)?;
    if let Some(bucket) = bucket {
        to.write_all(br#""bucket":"#)?;
        serde_json::to_writer(&mut *to, bucket)?;
        to.write_all(b",")?;
    }
    to.write_all(br#""key":"#)?;
    serde_json::to_writer(&mut *to, key)?;
    let text = (content.len() <= LONGEST_TEXT).then(|| content.read(0, content.len())).transpose()?;
    if let Some(text) = text.and_then(|bytes| String::from_utf8(bytes).ok()) {
        to.write_all(br#","value":"#)?;
        serde_json::to_writer(&mut *to, &text)?;
    } else {
        to.write_all(br#","base64":""#)?;
        let mut encoder = EncoderWriter::new(&mut *to, &BASE64);
        let mut offset = 0;
        while offset < content.len() {
            let piece = content.read(offset, PIECE)?;
            encoder.write_all(&piece)?;
            offset += piece.len() as u64;
        }
        encoder.finish()?;
        drop(encoder);
        to.write_all(b"\"")?;
    }
    to.write_all(b"}\n")
}
