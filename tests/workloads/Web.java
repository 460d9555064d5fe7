// SPDX-License-Identifier: Apache-2.0

// A web server that works and waits: Web PORT. A pool of threads; collections, lambdas, regular
// expressions, exceptions, compression in native code, files.
import com.sun.net.httpserver.HttpServer;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.zip.Deflater;

public class Web {
	static int fails(int n) {
		if (n == 0)
			throw new IllegalStateException("known");
		return fails(n - 1) + 1;
	}

	static String recovers(int n) {
		try {
			return "" + fails(n);
		} catch (IllegalStateException e) {
			return e.getMessage();
		}
	}

	static String work() throws Exception {
		List<String> words = new ArrayList<>();
		for (int i = 0; i < 300; i++)
			words.add(Integer.toHexString(i * 0x9e3779b1));
		words.sort((a, b) -> b.compareTo(a));
		String text = words.stream().map(w -> w.replaceAll("[0-4]+", "x")).collect(Collectors.joining(" "));
		Deflater deflater = new Deflater(6);
		deflater.setInput(text.getBytes());
		deflater.finish();
		int n = deflater.deflate(new byte[8192]);
		deflater.end();
		return text.length() + " " + n + " " + recovers(10) + " "
			+ Files.readString(Path.of("/proc/self/stat")).length();
	}

	public static void main(String[] args) throws Exception {
		InetSocketAddress at = new InetSocketAddress(InetAddress.getLoopbackAddress(),
			Integer.parseInt(args[0]));
		HttpServer server = HttpServer.create(at, 0);
		server.setExecutor(Executors.newFixedThreadPool(4));
		server.createContext("/", exchange -> {
			try {
				byte[] body = work().getBytes();
				exchange.sendResponseHeaders(200, body.length);
				try (OutputStream out = exchange.getResponseBody()) {
					out.write(body);
				}
			} catch (Exception e) {
				throw new RuntimeException(e);
			}
		});
		server.start();
		System.out.println("ready");
	}
}
