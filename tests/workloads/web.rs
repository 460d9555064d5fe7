// SPDX-License-Identifier: Apache-2.0

// A web server that works and waits: web PORT. A thread for each connection; sorting by closure, trait
// objects, panics that are caught, collections, files.
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic;
use std::thread;

trait Shape {
    fn area(&self, depth: u32) -> f64;
}

struct Square(f64);
struct Group(Vec<Box<dyn Shape + Send>>);

impl Shape for Square {
    #[inline(never)]
    fn area(&self, depth: u32) -> f64 {
        (0..depth).fold(self.0, |a, x| (a * 1.0001 + x as f64).sqrt())
    }
}

impl Shape for Group {
    #[inline(never)]
    fn area(&self, depth: u32) -> f64 {
        self.0.iter().map(|s| s.area(depth + 1)).sum()
    }
}

fn group(depth: u32) -> Group {
    let mut v: Vec<Box<dyn Shape + Send>> = vec![Box::new(Square(2.0))];
    if depth > 0 {
        v.push(Box::new(group(depth - 1)));
        v.push(Box::new(group(depth - 1)));
    }
    Group(v)
}

#[inline(never)]
fn fails(n: u32) -> u32 {
    if n == 0 {
        panic::resume_unwind(Box::new("known"));
    }
    fails(n - 1) + 1
}

fn work(line: &str) -> String {
    let mut words: Vec<String> = (0..200u64)
        .map(|i| format!("{:x}", i.wrapping_mul(0x9e3779b97f4a7c15)))
        .collect();
    words.sort_by(|a, b| b.cmp(a));
    let mut seen: HashMap<char, usize> = HashMap::new();
    words.iter().flat_map(|w| w.chars()).for_each(|c| *seen.entry(c).or_insert(0) += 1);
    let ordered: BTreeMap<_, _> = seen.iter().collect();
    let mut stat = String::new();
    if let Ok(mut f) = std::fs::File::open("/proc/self/stat") {
        let _ = f.read_to_string(&mut stat);
    }
    let caught = panic::catch_unwind(|| fails(12)).is_err();
    format!("{} {:?} {} {} {}\n", line.len(), ordered, group(6).area(1), stat.len(), caught)
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        if line.starts_with("GET") {
            let body = work(&line);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: ";
            out.write_all(format!("{}{}\r\n\r\n{}", head, body.len(), body).as_bytes())?;
        }
    }
    Ok(())
}

fn main() {
    let port = std::env::args().nth(1).unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{}", port)).unwrap();
    println!("ready");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream));
    }
}
