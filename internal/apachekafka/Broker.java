import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One broker: formats its storage if that is new, then runs until it is stopped
 * or its standard input ends, which it does however the parent ends.
 *
 * <p>Arguments: the file of its properties, the cluster's id, then users as
 * StorageTool's --add-scram takes them.
 */
final class Broker {
    public static void main(String[] args) throws Exception {
        Thread parent = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // the parent writes nothing; only the end counts
                }
            } catch (java.io.IOException e) {
                // as good as the end
            }
            Runtime.getRuntime().halt(1);
        });
        parent.setDaemon(true);
        parent.start();
        List<String> format = new ArrayList<>(Arrays.asList("format", "--ignore-formatted", "-c", args[0], "-t", args[1]));
        for (int i = 2; i < args.length; i++) {
            format.add("--add-scram");
            format.add(args[i]);
        }
        int code = kafka.tools.StorageTool.execute(format.toArray(new String[0]), System.err);
        if (code != 0) {
            System.exit(code);
        }
        kafka.Kafka.main(new String[] {args[0]});
    }
}
