// What DBeaver and others do with JDBC: list the views, read each, and try what must be refused.
// Takes a URL as argument and one statement per line of input; prints what it saw as lines of fields.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

public class Bi {
  static void say(Object... fields) {
    StringBuilder line = new StringBuilder();
    for (Object field : fields) line.append(line.length() > 0 ? "\t" : "").append(field);
    System.out.println(line.toString().replace('\n', ' '));
  }

  public static void main(String[] arguments) throws Exception {
    String url = arguments[0];
    try (Connection connection = DriverManager.getConnection(url); Statement statement = connection.createStatement()) {
      List<String> views = new ArrayList<>();
      try (ResultSet tables = connection.getMetaData().getTables(null, "analytics", "%", new String[] {"VIEW"})) {
        while (tables.next()) {
          views.add(tables.getString("TABLE_NAME"));
          say("view", tables.getString("TABLE_NAME"), tables.getString("REMARKS"));
        }
      }
      for (String view : views) {
        try (ResultSet columns = connection.getMetaData().getColumns(null, "analytics", view, "%")) {
          while (columns.next()) say("column", view, columns.getString("COLUMN_NAME"), columns.getString("REMARKS"));
        }
        try (ResultSet rows = statement.executeQuery("select * from analytics." + view)) {
          while (rows.next()) {
            List<Object> cells = new ArrayList<>();
            for (int n = 1; n <= rows.getMetaData().getColumnCount(); n++) cells.add(rows.getString(n));
            say("row", view, cells);
          }
        }
      }
      connection.setAutoCommit(false);
      BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
      for (String line; (line = input.readLine()) != null; ) {
        try {
          statement.execute("set transaction read write");
          statement.execute(line);
          say("done", line);
        } catch (SQLException error) {
          say("refused", error.getSQLState(), line);
        }
        connection.rollback();
      }
    }
    List<Connection> open = new ArrayList<>();
    try {
      while (open.size() < 20) open.add(DriverManager.getConnection(url));
    } catch (SQLException error) {
      say("connections", open.size(), error.getSQLState().equals("53300"));
    }
  }
}
