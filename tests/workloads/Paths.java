// SPDX-License-Identifier: Apache-2.0

// Threads that go the same way again and again, each by another one, to a short sleep: Paths. By recursion,
// lambdas, a stream, a comparator that a sort calls, reflection. Prints "warm" after Paths.SECONDS (1st argument).
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntUnaryOperator;

public class Paths {
	static volatile long spent;

	static int leaf(int n) {
		long sum = 0;
		for (int i = 0; i < 100; i++)
			sum += i * n;
		spent = sum;
		try {
			Thread.sleep(1);
		} catch (InterruptedException e) {
			throw new IllegalStateException(e);
		}
		return n;
	}

	static int recursion(int n) {
		return n == 0 ? leaf(1) : recursion(n - 1) + 1;
	}

	static int lambdas(IntUnaryOperator f, int n) {
		return n == 0 ? f.applyAsInt(1) : lambdas(x -> f.applyAsInt(x + 1), n - 1);
	}

	static int stream() {
		return List.of(1).stream().map(x -> x + 1).mapToInt(x -> leaf(x)).sum();
	}

	static int sort() {
		List<Integer> two = new ArrayList<>(Arrays.asList(2, 1));
		two.sort((a, b) -> Integer.compare(leaf(a), b));
		return two.get(0);
	}

	public static int called() {
		return leaf(3);
	}

	static int reflection() throws Exception {
		return (Integer)Paths.class.getMethod("called").invoke(null);
	}

	interface Way {
		int go() throws Exception;
	}

	static void start(String name, Way way) {
		Thread thread = new Thread(() -> {
			try {
				for (;;)
					way.go();
			} catch (Exception e) {
				throw new IllegalStateException(e);
			}
		}, name);
		thread.setDaemon(true);
		thread.start();
	}

	public static void main(String[] args) throws Exception {
		start("w-recursion", () -> recursion(12));
		start("w-lambdas", () -> lambdas(x -> leaf(x), 4));
		start("w-stream", Paths::stream);
		start("w-sort", Paths::sort);
		start("w-reflection", Paths::reflection);
		Thread.sleep(Integer.parseInt(args[0]) * 1000L);
		System.out.println("warm");
		Thread.sleep(600000);
	}
}
