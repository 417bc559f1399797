//! Files as one `.tar.gz`, without times and owners: the same files are the same bytes.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

/// Packs the files below the folder `top`.
///
/// # Errors
///
/// A name that no archive can hold.
pub fn pack(top: &str, files: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(GzBuilder::new().write(Vec::new(), Compression::default()));
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{top}/{name}"), content.as_bytes())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_packed_can_be_unpacked_and_is_the_same_each_time() {
        let long = format!("operator/{}.log", "n".repeat(200));
        let files = [("summary.txt".to_owned(), "it is".to_owned()), (long, "x".repeat(3000))];
        let packed = pack("bundle", &files).unwrap();
        assert_eq!(packed, pack("bundle", &files).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut unpacked = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            unpacked.push((entry.path().unwrap().strip_prefix("bundle").unwrap().display().to_string(), content));
        }
        assert_eq!(unpacked, files);
    }
}
