//! From two files, or one with both halves, to a configuration.

use crate::{
    Config, Loaded,
    address::Host,
    fault::{Fault, Missing, Report, Reported},
    node::{self, NodeHalf},
    reader::{Section, SourceFile},
    site::{self, SiteHalf},
};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf, absolute},
};
use toml::de::DeTable;

/// The only `schema` this version reads.
const SCHEMA: &str = "clavija/v1";

/// A file's text and where its relative paths are read from: enough to read it again when the file
/// has changed, or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the operator named it, for messages.
    pub name: String,
    /// Absolute.
    pub folder: PathBuf,
    pub text: String,
}

/// One file with both halves, or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub node: Source,
    pub site: Option<Source>,
}

/// Reads `path`, and the file its `node.site` names if it names one.
///
/// # Errors
/// Every fault of both files, in their order.
pub fn load(path: &Path, host: &Host) -> Result<Loaded, Vec<Fault>> {
    from_sources(&sources(path)?, host)
}

/// The texts alone. A second file that is not there is left out: reading the first one says so.
///
/// # Errors
/// A file that cannot be read, or is no text.
pub fn sources(path: &Path) -> Result<Sources, Vec<Fault>> {
    let mut report = Report::default();
    let Ok(node) = read_text(path, &mut report) else { return Err(report.faults) };
    let first = SourceFile::new(node.name.clone(), node.text.clone(), &node.folder);
    let mut unsaid = Report::default();
    let named = first.parse(&mut unsaid).ok();
    let named = named.and_then(|table| site_named_in(&table, &first, &mut unsaid).ok().flatten());
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let beside = named.map(|(name, line)| (folder.join(name), line));
    let Some((path, line)) = beside else { return Ok(Sources { node, site: None }) };
    match fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Sources { node, site: None }),
        // Who reads from a FIFO or a device may wait for ever.
        Ok(about) if !about.is_file() => {
            let what = format!(
                "node.site: {} is no regular file; write the path of the file that says how calls flow",
                path.display()
            );
            report.fault(&node.name, Some(line), &what);
            Err(report.faults)
        }
        Ok(_) | Err(_) => match read_text(&path, &mut report) {
            Ok(site) => Ok(Sources { node, site: Some(site) }),
            Err(_) => Err(report.faults),
        },
    }
}

/// The configuration these texts are.
///
/// # Errors
/// Every fault of both texts, in their order.
pub fn from_sources(sources: &Sources, host: &Host) -> Result<Loaded, Vec<Fault>> {
    read_sources(sources, host, Report::default()).map(|(loaded, _)| loaded)
}

/// The same, without the music and the secrets that cannot be had: for a box that ran by these texts
/// before and must not stay down for a lost file.
///
/// # Errors
/// Every other fault of both texts, in their order.
pub fn from_sources_without(
    sources: &Sources,
    host: &Host,
) -> Result<(Loaded, Missing), Vec<Fault>> {
    let missing = Some(Missing::default());
    read_sources(sources, host, Report { missing, ..Report::default() })
}

fn read_sources(
    sources: &Sources,
    host: &Host,
    report: Report,
) -> Result<(Loaded, Missing), Vec<Fault>> {
    let file =
        |source: &Source| SourceFile::new(source.name.clone(), source.text.clone(), &source.folder);
    let first = file(&sources.node);
    assemble(&first, host, report, |site, line, report| {
        if let Some(source) = &sources.site {
            return Ok(file(source));
        }
        let beside = Path::new(&first.name).parent().unwrap_or_else(|| Path::new("")).join(site);
        let what = format!(
            "node.site: {site:?} is not there (looked for {}); write the path of the file that says \
             how calls flow, or leave the key out and write both halves here",
            beside.display()
        );
        Err(report.fault(&first.name, Some(line), &what))
    })
}

/// Whatever these bytes are, they are read or refused: what stands before a first zero byte as
/// `node.toml`, what stands behind it as `site.toml`. No file is looked at but those they name.
///
/// # Errors
/// Every fault.
pub fn check_bytes(bytes: &[u8], folder: &Path, host: &Host) -> Result<Loaded, Vec<Fault>> {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let node = parts.next().map(text).unwrap_or_default();
    let site = parts.next().map(text);
    from_strings(&node, site.as_deref(), folder, host)
}

/// Reads the texts as if they were `node.toml` and `site.toml` in `folder`; without a second text
/// the first must hold both halves.
///
/// # Errors
/// Every fault of both texts, in their order.
pub fn from_strings(
    node_text: &str,
    site_text: Option<&str>,
    folder: &Path,
    host: &Host,
) -> Result<Loaded, Vec<Fault>> {
    let first = SourceFile::new("node.toml".to_owned(), node_text.to_owned(), folder);
    let read = assemble(&first, host, Report::default(), |site, line, report| match site_text {
        Some(text) => Ok(SourceFile::new("site.toml".to_owned(), text.to_owned(), folder)),
        None => {
            let what = format!("node.site: {site:?} is not at hand; leave the key out");
            Err(report.fault(&first.name, Some(line), &what))
        }
    });
    read.map(|(loaded, _)| loaded)
}

fn assemble(
    first: &SourceFile,
    host: &Host,
    mut report: Report,
    open_site: impl FnOnce(&str, usize, &mut Report) -> Result<SourceFile, Reported>,
) -> Result<(Loaded, Missing), Vec<Fault>> {
    let halves = read_halves(first, host, &mut report, open_site);
    // The first file's faults come first, each file's from top to bottom.
    report.faults.sort_by_key(|fault| (fault.file != first.name, fault.line));
    report.warnings.sort_by_key(|warning| (warning.file != first.name, warning.line));
    match halves {
        Ok((node, site)) if report.faults.is_empty() => {
            let loaded = Loaded { config: join(node, site), warnings: report.warnings };
            Ok((loaded, report.missing.unwrap_or_default()))
        }
        Ok(_) | Err(_) => Err(report.faults),
    }
}

fn read_halves(
    first: &SourceFile,
    host: &Host,
    report: &mut Report,
    open_site: impl FnOnce(&str, usize, &mut Report) -> Result<SourceFile, Reported>,
) -> Result<(NodeHalf, SiteHalf), Reported> {
    let table = first.parse(report)?;
    let Some((name, line)) = site_named_in(&table, first, report)? else {
        return Section::read_root(first, &table, report, |root| {
            let schema = read_schema(root);
            let node = NodeHalf::read(root, host);
            let networks = node.as_ref().ok().map(|node| node.networks.as_slice());
            let site = SiteHalf::read(root, host, networks);
            schema?;
            Ok((node?, site?))
        });
    };
    let node = Section::read_root(first, &table, report, |root| {
        let schema = read_schema(root);
        let node = NodeHalf::read(root, host);
        let misplaced = refuse_other_half(root, &site::TABLES, "in the file node.site names");
        schema?;
        misplaced?;
        node
    });
    let second = open_site(&name, line, report)?;
    let table = second.parse(report)?;
    let site = Section::read_root(&second, &table, report, |root| {
        let schema = read_schema(root);
        let networks = node.as_ref().ok().map(|node| node.networks.as_slice());
        let site = SiteHalf::read(root, host, networks);
        let misplaced = refuse_other_half(root, &node::TABLES, "in the file that names this one");
        schema?;
        misplaced?;
        site
    });
    Ok((node?, site?))
}

/// `node.site` and its line: it decides what else the first file may say.
fn site_named_in(
    table: &DeTable<'_>,
    first: &SourceFile,
    report: &mut Report,
) -> Result<Option<(String, usize)>, Reported> {
    let node = table.get("node").and_then(|node| node.get_ref().as_table());
    let Some(site) = node.and_then(|node| node.get("site")) else { return Ok(None) };
    let line = first.line(site.span().start);
    match site.get_ref().as_str() {
        Some(name) if !name.is_empty() => Ok(Some((name.to_owned(), line))),
        Some(_) | None => {
            let what = "node.site: is not the path of a file; write it like \"site.toml\"";
            Err(report.fault(&first.name, Some(line), what))
        }
    }
}

fn read_schema(root: &mut Section<'_>) -> Result<(), Reported> {
    let schema = root.parsed("schema", SCHEMA, |text| match text {
        SCHEMA => Ok(()),
        _ => Err(format!("is not what this version reads; write {SCHEMA:?}")),
    });
    root.required("schema", schema, &format!("{SCHEMA:?}")).map(|_| ())
}

/// Tables of one half in the file of the other would be read by nobody.
fn refuse_other_half(
    root: &mut Section<'_>,
    tables: &[&'static str],
    place: &str,
) -> Result<(), Reported> {
    let mut refused = None;
    for key in tables {
        if let Some(value) = root.value(key) {
            let line = root.line_of(value);
            refused = Some(root.refuse(line, key, &format!("belongs {place}; write it there")));
        }
    }
    refused.map_or(Ok(()), Err)
}

fn read_text(path: &Path, report: &mut Report) -> Result<Source, Reported> {
    let name = path.display().to_string();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    // An absolute folder names the same files whatever the process's own folder becomes.
    let folder = absolute(folder.join(".")).unwrap_or_else(|_| PathBuf::from(folder));
    let bytes = fs::read(path)
        .map_err(|error| report.fault(&name, None, &format!("cannot be read: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, folder, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().iter().take(valid);
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            Err(report.fault(&name, Some(line), "is not UTF-8 text; save it as UTF-8"))
        }
    }
}

fn join(node: NodeHalf, site: SiteHalf) -> Config {
    let NodeHalf { node, sip, media, http, recording, limits, networks } = node;
    let SiteHalf { trunks, agents, music, hours, teams, numbers } = site;
    Config {
        node,
        sip,
        media,
        http,
        recording,
        limits,
        networks,
        trunks,
        agents,
        music,
        hours,
        teams,
        numbers,
    }
}
