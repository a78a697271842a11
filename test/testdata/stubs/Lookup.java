// Prints the addresses of a name as Java resolves it, one a line.
public class Lookup {
	public static void main(String[] args) throws Exception {
		for (java.net.InetAddress a : java.net.InetAddress.getAllByName(args[0]))
			System.out.println(a.getHostAddress());
	}
}
