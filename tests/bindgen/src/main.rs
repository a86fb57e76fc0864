//! Writes `src/bindings` from `wit`.

fn main() -> anyhow::Result<()> {
    for bindings in bindgen::BINDINGS {
        let path = bindings.checked_in();
        std::fs::write(&path, bindings.generate()?)?;
        println!("wrote {}", path.canonicalize()?.display());
    }
    Ok(())
}
