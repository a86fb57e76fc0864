//! Reads the machine's Debian archive through separate lists and a separate cache, so the machine's own do not change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, process};

/// The suites to look in, in this order.
const SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];

const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// The settings that do not depend on a folder. apt's own user cannot write to the staging folder. An archive that cannot be
/// reached must be an error. The hooks that the machine runs after its own updates must not run after this one.
const SETTINGS: &str = r#"Acquire::Languages "none";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#;

const NOT_DEBIAN: &str = "Where rustup does not do it, only a machine with Debian's apt can.";
const UNREACHED: &str = "Is the Debian archive within reach of this machine?";
const UNPACKING: &str = "Unpacking needs the Debian packages `dpkg` and `tar`, and room in the sysroot.";

/// Picks one of the versions of a suite.
type Choose<'a> = Box<dyn Fn(&[String]) -> Option<String> + 'a>;

/// Finds the wanted file in the unpacked package.
type Look<'a, T> = Box<dyn Fn(&Path) -> Option<T> + 'a>;

/// A package, and the condition for a version that fits.
pub(crate) struct Wanted<'a, T> {
    pub(crate) package: &'static str,
    /// The version or the purpose, for messages.
    pub(crate) detail: String,
    /// The folder to unpack, as a pattern of tar's.
    pub(crate) part: &'static str,
    pub(crate) choose: Choose<'a>,
    pub(crate) look: Look<'a, T>,
}

pub(crate) struct Archive {
    folder: PathBuf,
    addresses: Vec<String>,
    /// The answers of the [`SUITES`] that were asked so far.
    suites: Vec<Result<Suite, String>>,
}

impl Archive {
    pub(crate) fn of_this_machine(folder: &Path) -> Result<Self, Error> {
        let lists = folder.join("none");
        let partial = lists.join("partial");
        fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
        // Unlike `indextargets`, this works if the machine's lists are empty, as in a container.
        let mut command = Command::new("apt-get");
        command.arg("--option").arg(format!("Dir::State::Lists={}", lists.display()));
        let printed = process::run(command.args(["--print-uris", "update"]), NOT_DEBIAN)?;
        let addresses = addresses(&printed);
        if addresses.is_empty() {
            return Err(Error::Output {
                command: process::line(&command),
                said: process::tail(&printed),
                remedy: "apt must have the Debian archive among its sources.",
            });
        }
        Ok(Self { folder: folder.to_owned(), addresses, suites: Vec::new() })
    }

    /// Downloads and unpacks the first package that fits. Returns its version and the file that was found in it.
    pub(crate) fn fetch<T>(
        &mut self,
        wanted: &Wanted<'_, T>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(String, T), Error> {
        let package = wanted.package;
        let mut seen = Vec::new();
        let mut unread = String::new();
        for (index, name) in SUITES.iter().enumerate() {
            let suite = match self.suite(index, progress) {
                Ok(suite) => suite,
                Err(error) => {
                    unread = format!("\n{name} could not be read: {error}");
                    continue;
                }
            };
            let versions = suite.versions(package)?;
            if let Some(version) = (wanted.choose)(&versions) {
                progress(&format!("fetching Debian's {package} {version} from {name}"));
                let unpacked = suite.unpack(package, &version, wanted.part)?;
                if let Some(found) = (wanted.look)(&unpacked) {
                    return Ok((version, found));
                }
            }
            seen.extend(versions);
        }
        Err(Error::NoPackage {
            wanted: format!("{package} {}", wanted.detail),
            suites: SUITES.join(", "),
            seen: if seen.is_empty() { "none".to_owned() } else { seen.join(", ") },
            unread,
        })
    }

    fn suite(&mut self, index: usize, progress: &mut dyn FnMut(&str)) -> Result<Suite, String> {
        while self.suites.len() <= index {
            let name = SUITES[self.suites.len()];
            progress(&format!("reading the package lists of Debian's {name}"));
            let mut outcome = Err(String::new());
            for (number, address) in self.addresses.iter().enumerate() {
                let folder = self.folder.join(format!("{name}-{number}"));
                outcome = Suite::read(folder, address, name).map_err(|error| error.to_string());
                if outcome.is_ok() {
                    break;
                }
            }
            self.suites.push(outcome);
        }
        self.suites[index].clone()
    }
}

#[derive(Clone)]
struct Suite {
    folder: PathBuf,
}

impl Suite {
    fn read(folder: PathBuf, address: &str, name: &str) -> Result<Self, Error> {
        let [sources, lists, cache] = ["sources.list", "lists", "cache"].map(|n| folder.join(n));
        for needed in [lists.join("partial"), cache.join("archives").join("partial")] {
            fs::create_dir_all(&needed).map_err(Error::io("create", &needed))?;
        }
        fs::write(&sources, source_line(address, name)).map_err(Error::io("write", &sources))?;
        let suite = Self { folder };
        let config = format!(
            r#"Dir::Etc::SourceList "{}";
Dir::Etc::SourceParts "-";
Dir::State::Lists "{}";
Dir::Cache "{}";
{SETTINGS}"#,
            sources.display(),
            lists.display(),
            cache.display(),
        );
        fs::write(suite.config(), config).map_err(Error::io("write", suite.config()))?;
        process::run(suite.apt("apt-get").arg("update"), UNREACHED)?;
        Ok(suite)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // A configuration file, because the command line cannot clear a list.
        command.arg("--config-file").arg(self.config());
        command
    }

    fn versions(&self, package: &str) -> Result<Vec<String>, Error> {
        let printed = process::run(self.apt("apt-cache").args(["madison", package]), UNREACHED)?;
        Ok(madison(&printed, package))
    }

    /// Downloads the package and unpacks `part` of it into a folder of its own.
    fn unpack(&self, package: &str, version: &str, part: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.join(package);
        let unpacked = folder.join("unpacked");
        fs::create_dir_all(&unpacked).map_err(Error::io("create", &unpacked))?;
        let mut download = self.apt("apt-get");
        download.arg("download").arg(format!("{package}={version}")).current_dir(&folder);
        process::run(&mut download, UNREACHED)?;
        let deb = fs::read_dir(&folder)
            .map_err(Error::io("read", &folder))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| Error::Incomplete {
                what: "what apt-get downloaded".to_owned(),
                file: "*.deb".to_owned(),
            })?;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--directory").arg(&unpacked).args(["--wildcards", part]);
        let mut dpkg = Command::new("dpkg-deb");
        process::pipe(dpkg.arg("--fsys-tarfile").arg(&deb), &mut tar, UNPACKING)?;
        Ok(unpacked)
    }
}

fn source_line(address: &str, suite: &str) -> String {
    let keyring = KEYRINGS.iter().find(|keyring| Path::new(keyring).is_file());
    let signed_by = keyring.map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
    format!("deb {signed_by}{address} {suite} main\n")
}

/// The archives that `apt-get --print-uris update` names, each once, those for security updates
/// last.
fn addresses(printed: &str) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for line in printed.lines() {
        let uri = line.strip_prefix('\'').and_then(|rest| rest.split('\'').next());
        let Some((address, _)) = uri.and_then(|uri| uri.split_once("/dists/")) else {
            continue;
        };
        if !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    addresses.sort_by_key(|address| address.contains("security"));
    addresses
}

/// The versions that `apt-cache madison` lists, newest first as it prints them.
fn madison(printed: &str, package: &str) -> Vec<String> {
    printed
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            (fields.next()? == package).then(|| fields.next().map(str::to_owned)).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_the_machines_own() {
        let printed = "\
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' a 0 
'http://mirror.example/debian/dists/bookworm/InRelease' b 0 
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' c 0 
Reading package lists...
";
        assert_eq!(addresses(printed), ["http://mirror.example/debian", "http://mirror.example/debian-security"]);
        assert!(addresses("").is_empty());
    }

    #[test]
    fn the_versions_are_the_packages_own() {
        let printed = "\
    rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://mirror.example/debian trixie-backports/main
    rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror.example/debian trixie-backports/main
rust-src-web | 1.94.0-1 | http://mirror.example/debian trixie-backports/main
";
        let versions = ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1"];
        assert_eq!(madison(printed, "rust-src"), versions);
        assert!(madison("", "rust-src").is_empty());
    }
}
