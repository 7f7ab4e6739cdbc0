<?php
/**
 * Mails that PHP makes in jobs, put into the program's outbox: a part of
 * worker.php, beside which it stands, with mailer.php.
 *
 * wp_mail(), its filters and phpmailer_init run as always, and PHPMailer makes
 * the message; only the last step is ours. A mail that is not ours to take, or
 * cannot be stored, is left to PHP, which sends it as WordPress would have.
 *
 *   outbox     the request's:
 *     store    SQL with `?` by name, as sql/ has it: count, insert, find,
 *              insert_chunk, ready, forget
 *     blog_id, priority, chunk (bytes of one), max_size (bytes of a mail)
 *     plugin_smtp    leave: a transport that a plugin chose is its own matter;
 *                    take-over: it is stored all the same, if the mailer is
 *     key_file       64 hexadecimal digits that seal the chunks; null: none
 *     envelope_from  null: the mail's Sender or From
 *     from, from_domains, foreign_from: php, send, rewrite
 *     confines       mails are for some alone, as PHP would not send them: what
 *                    our mailer cannot store fails
 *
 * Frames, behind the job, each of a mail:
 *   mail       {id, job, ordinal, size, n, again}  n recipients; again: it was
 *              stored before
 *   mail_left  {job, why}
 *   Of many, those of a job become one with `times`, of the last.
 * No text and no address of a mail goes into a frame, or into a log.
 *
 * As a part that is asked (`ask` is what: mail), op failed: {i, job, to: [],
 * subject, reason}: the relay refused, so wp_mail_failed is fired.
 */

if ( ! class_exists( 'WPCron_FCGI_Worker', false ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Mail {
	use WPCron_FCGI_Part;

	const OPS            = array( 'failed' => true );
	const SUBJECT_MAX    = 255;
	const ADDRESS_MAX    = 254;
	const MESSAGE_ID_MAX = 255;
	const ANOTHER        = 'a class of its own sent it';
	// The other side takes 4 MiB, and jobs' own frames must have room.
	const FRAMES_MAX     = 5000;

	private static $outbox;
	private static $job;           // name; null: mails are none of our business
	private static $priority;
	private static $ordinal;
	private static $stored;
	private static $left;
	private static $why;
	private static $open = 0;      // calls of wp_mail(), one in another, whose end is not known
	private static $decided;       // of the innermost, and its action follows
	private static $before;        // what the global was before the job
	private static $frames = array();
	private static $framed = 0;       // in all
	private static $more   = array(); // kind => the fields of those beyond that

	/* ---- for worker.php and its parts ---------------------------------- */

	/** Once, before hooks are remembered. */
	public static function set_up( array $outbox ) {
		self::$outbox = $outbox;
		add_filter( 'wp_mail', array( __CLASS__, 'on_mail' ), PHP_INT_MAX );
		add_filter( 'pre_wp_mail', array( __CLASS__, 'before_mail' ), PHP_INT_MAX );
		add_action( 'phpmailer_init', array( __CLASS__, 'on_init' ), PHP_INT_MAX );
		add_action( 'wp_mail_succeeded', array( __CLASS__, 'on_success' ), PHP_INT_MIN, 0 );
		add_action( 'wp_mail_failed', array( __CLASS__, 'on_failure' ), PHP_INT_MIN, 0 );
	}

	/** Mails from here on are of `$job`: "action:12". Without an outbox nothing changes. */
	public static function begin( $job, $priority = null ) {
		self::$ordinal = 0;
		self::$stored  = 0;
		self::$left    = 0;
		self::$why     = '';
		self::$open    = 0;
		self::$decided = false;
		if ( null === self::$outbox ) {
			return;
		}
		// Files that a job loads would end its batch.
		self::load();
		self::$job      = (string) $job;
		// The sender knows those of Event Espresso alone.
		self::$priority = min( 30, max( 10, (int) ( null === $priority ? self::$outbox['priority'] : $priority ) ) );
		self::$before   = isset( $GLOBALS['phpmailer'] ) ? $GLOBALS['phpmailer'] : null;
	}

	/** What became of the job's mails; `why` is the last one's that was left to PHP. */
	public static function end() {
		if ( null !== self::$job ) {
			while ( self::$open > 0 ) {
				self::leave( self::ANOTHER );
			}
			$GLOBALS['phpmailer'] = self::$before;
			self::$before         = null;
			self::$job            = null;
			if ( self::$left > 0 ) {
				WPCron_FCGI_Outbox::of( self::$outbox )->count_left( self::$left );
			}
		}
		if ( 0 === ob_get_level() ) {
			self::tell();
		}
		return array(
			'stored' => (int) self::$stored,
			'left'   => (int) self::$left,
			'why'    => (string) self::$why,
		);
	}

	/** To be called where output is not discarded. */
	public static function tell() {
		$frames       = self::$frames;
		self::$frames = array();
		foreach ( self::$more as $kind => $fields ) {
			$frames[] = array( $kind, $fields );
		}
		self::$more = array();
		foreach ( $frames as $frame ) {
			WPCron_FCGI_Worker::frame( $frame[0], $frame[1] );
		}
	}

	/* ---- in wp_mail() -------------------------------------------------- */

	public static function on_mail( $mail ) {
		if ( null === self::$job ) {
			return $mail;
		}
		self::$open++;
		self::$decided = false;

		$where = self::replaced_in();
		if ( null !== $where ) {
			self::leave( 'wp_mail() is replaced in ' . $where );
		} elseif ( version_compare( $GLOBALS['wp_version'], '5.7-alpha', '<' ) ) {
			// There is no pre_wp_mail, and no later moment.
			self::put();
		}
		return $mail;
	}

	/** The last moment before wp_mail() looks whether there is a mailer. */
	public static function before_mail( $result ) {
		if ( null === self::$job || ! self::$open ) {
			return $result;
		}
		if ( null !== $result ) {
			self::leave( 'a filter on pre_wp_mail sent it' );
		} else {
			self::put();
		}
		return $result;
	}

	/** A mailer of ours, new for each mail: what the last one was told is gone. */
	private static function put() {
		$now  = isset( $GLOBALS['phpmailer'] ) ? $GLOBALS['phpmailer'] : null;
		$base = self::load();
		if ( ! $now instanceof $base || $now instanceof WPCron_FCGI_Mailer || self::is_cores( $now ) ) {
			$GLOBALS['phpmailer'] = WPCron_FCGI_Mailer::make();
		}
	}

	public static function is_cores( $mailer ) {
		return in_array( get_class( $mailer ), array( 'PHPMailer\PHPMailer\PHPMailer', 'WP_PHPMailer', 'PHPMailer' ), true );
	}

	/** Core's files are loaded as wp_mail() does it; the name of the class. */
	private static function load() {
		$dir = ABSPATH . WPINC;
		if ( ! is_file( $dir . '/PHPMailer/PHPMailer.php' ) ) {
			$base  = 'PHPMailer'; // Before WordPress 5.5.
			$files = array( $base => '/class-phpmailer.php', 'SMTP' => '/class-smtp.php' );
		} else {
			$base  = 'PHPMailer\PHPMailer\PHPMailer';
			$files = array(
				$base                     => '/PHPMailer/PHPMailer.php',
				'PHPMailer\PHPMailer\SMTP' => '/PHPMailer/SMTP.php',
				'PHPMailer\PHPMailer\Exception' => '/PHPMailer/Exception.php',
			);
		}
		// A plugin may have loaded some of them, and core loads none beside our mailer.
		foreach ( $files as $class => $file ) {
			class_exists( $class, false ) || require_once $dir . $file;
		}
		if ( ! class_exists( 'WPCron_FCGI_Mailer', false ) ) {
			$parent = $base;
			if ( is_file( $dir . '/class-wp-phpmailer.php' ) ) {
				require_once $dir . '/class-wp-phpmailer.php'; // From 6.8 on.
				$parent = 'WP_PHPMailer';
			}
			class_alias( $parent, 'WPCron_FCGI_Mailer_Parent' );
			require __DIR__ . '/mailer.php';
		}
		return $base;
	}

	public static function on_init( $mailer ) {
		if ( null !== self::$job && self::$open && ! $mailer instanceof WPCron_FCGI_Mailer ) {
			self::leave( 'the class ' . self::class_of( $mailer ) . ' is in the global $phpmailer' );
			self::$decided = true;
		}
	}

	/** A mailer that nobody saw sent it, if nothing is known of it. */
	public static function on_success() {
		if ( self::$open > 0 && ! self::$decided ) {
			self::leave( self::ANOTHER );
		}
		self::$decided = false;
	}

	public static function on_failure() {
		if ( ! self::$decided ) {
			self::close();
		}
		self::$decided = false;
	}

	private static function close() {
		self::$open = max( 0, self::$open - 1 );
	}

	private static function replaced_in() {
		static $where = false;
		if ( false === $where ) {
			$function = new ReflectionFunction( 'wp_mail' );
			$file     = $function->getFileName();
			$where    = realpath( ABSPATH . WPINC . '/pluggable.php' ) === realpath( $file ) ? null : $file;
		}
		return $where;
	}

	/** The name of an anonymous class goes on after a NUL. */
	private static function class_of( $object ) {
		return is_object( $object ) ? strtok( get_class( $object ), "\0" ) : gettype( $object );
	}

	/* ---- for mailer.php ------------------------------------------------ */

	public static function is_on() {
		return null !== self::$job;
	}

	/** Why this transport is not ours to replace; null: it is. */
	public static function chosen( $transport ) {
		return 'mail' === $transport || 'take-over' === self::$outbox['plugin_smtp']
			? null : 'a plugin chose the transport ' . $transport . ' in phpmailer_init';
	}

	/** May the relay send for this address? */
	public static function is_foreign( $address ) {
		$domain = strtolower( (string) substr( (string) strrchr( $address, '@' ), 1 ) );
		foreach ( self::$outbox['from_domains'] as $glob ) {
			if ( fnmatch( strtolower( $glob ), $domain ) ) {
				return false;
			}
		}
		return array() !== self::$outbox['from_domains'];
	}

	public static function option( $name ) {
		return self::$outbox[ $name ];
	}

	/** Why it is not stored; null: it is, now or since an earlier run of the job. */
	public static function take( array $mail ) {
		self::$ordinal++;
		$size       = strlen( $mail['header'] ) + strlen( $mail['body'] );
		if ( $size > self::$outbox['max_size'] ) {
			return sprintf( 'it has %d bytes, more than outbox_max_mib allows', $size );
		}
		if ( strlen( $mail['sender'] ) > self::ADDRESS_MAX ) {
			return 'the sender\'s address is too long';
		}
		$mail += array(
			'job'      => self::$job,
			'priority' => self::$priority,
			'ordinal'  => self::$ordinal,
			'size'     => $size,
		);
		try {
			list( $id, $again ) = WPCron_FCGI_Outbox::of( self::$outbox )->add( $mail );
		} catch ( RuntimeException $e ) {
			return $e->getMessage();
		}
		self::close();
		self::$decided = true;
		self::$stored++;
		self::note(
			'mail',
			array(
				'id'      => $id,
				'job'     => self::$job,
				'ordinal' => self::$ordinal,
				'size'    => $size,
				'n'       => count( $mail['recipients'] ),
				'again'   => $again,
			)
		);
		return null;
	}

	/** May PHP send what our mailer made? `$counts`: it has no ordinal yet. */
	public static function pass( $why, $counts ) {
		self::$ordinal += $counts ? 1 : 0;
		self::leave( self::$outbox['confines'] ? 'not sent, since it would go to others than redirect_to or allow_recipients say: ' . $why : $why );
		self::$decided = true;
		return ! self::$outbox['confines'];
	}

	private static function leave( $why ) {
		self::close();
		self::$left++;
		self::$why = $why;
		self::note( 'mail_left', array( 'job' => self::$job, 'why' => $why ) );
	}

	private static function note( $kind, array $fields ) {
		if ( self::$framed < self::FRAMES_MAX ) {
			self::$framed++;
			self::$frames[] = array( $kind, $fields );
			return;
		}
		$times = isset( self::$more[ $kind ] ) ? self::$more[ $kind ]['times'] : 0;

		self::$more[ $kind ] = array( 'times' => $times + 1 ) + $fields;
	}

	/* ---- asked --------------------------------------------------------- */

	private static function why_not( $op ) {
		return null;
	}

	/** As wp_mail() tells of a mail that could not be sent. */
	private static function failed( array $entry ) {
		$data = array(
			'to'          => $entry['to'],
			'subject'     => $entry['subject'],
			'message'     => '',
			'headers'     => array(),
			'attachments' => array(),
			'wpcron_fcgi' => $entry['job'],
		);
		do_action( 'wp_mail_failed', new WP_Error( 'wp_mail_failed', $entry['reason'], $data ) );
		return self::yes();
	}
}

/**
 * The tables of the outbox, by a connection of its own: what a job does in a
 * transaction, or to the session, does not touch what is stored here, and no
 * plugin that logs queries sees a mail. What fails throws a RuntimeException
 * whose words hold nothing of the mail.
 */
final class WPCron_FCGI_Outbox {
	const CONNECT_S = 5;
	const READ_S    = 60;
	const TRIES     = 3;
	const OTHER_S   = 5; // who stores the same one and lives has done so by then
	const HALF      = -1;
	// Lost connections, the last two by the server's own words; deadlock, lock wait.
	const AGAIN     = array( 2006, 2013, 1927, 4031, 1213, 1205, self::HALF );
	const DUPLICATE = 1062;
	const NONCE     = 12;
	const TAG       = 16;

	private static $one;

	private $outbox;
	private $dbh;
	private $statements = array();
	private $key = '';

	public static function of( array $outbox ) {
		if ( ! self::$one ) {
			self::$one = new self( $outbox );
		}
		return self::$one;
	}

	private function __construct( array $outbox ) {
		$this->outbox = $outbox;
	}

	/** array( its id, whether it was there ) */
	public function add( array $mail ) {
		return $this->try_to(
			function () use ( $mail ) {
				$this->read_key();
				return $this->store( $mail );
			}
		);
	}

	/** For `doctor`. A job does not fail for want of a number. */
	public function count_left( $n ) {
		$name = 'mails_left/' . $this->outbox['blog_id'];
		try {
			$this->try_to(
				function () use ( $name, $n ) {
					$this->rows( 'count', 'ss', array( $name, (string) $n ) );
				}
			);
		} catch ( RuntimeException $e ) {
			$this->close();
		}
	}

	private function try_to( $what ) {
		$driver  = new mysqli_driver();
		$reports = $driver->report_mode;
		// Its exceptions would carry the arguments of a failed call.
		$driver->report_mode = MYSQLI_REPORT_OFF;
		try {
			for ( $try = 1; ; $try++ ) {
				try {
					return $what();
				} catch ( RuntimeException $e ) {
					if ( self::TRIES === $try || ! in_array( $e->getCode(), self::AGAIN, true ) ) {
						throw $e;
					}
					$this->close();
					usleep( 20000 * $try );
				}
			}
		} finally {
			$driver->report_mode = $reports;
		}
	}

	private function store( array $mail ) {
		$id = $this->stored( $mail );
		if ( null !== $id ) {
			return array( $id, true );
		}
		try {
			$id = $this->insert( $mail );
			if ( $this->insert_chunks( $id, $mail ) && 1 === $this->rows( 'ready', 'iii', array( $mail['size'], $this->outbox['blog_id'], $id ) ) ) {
				return array( $id, false );
			}
		} catch ( RuntimeException $e ) {
			if ( self::DUPLICATE !== $e->getCode() ) {
				throw $e;
			}
		}
		return array( $this->stored_by_other( $mail ), true );
	}

	/** Its id if it is whole. What a run of the job that died left half is dropped. */
	private function stored( array $mail ) {
		$row = $this->find( $mail );
		if ( null !== $row && 'writing' !== $row[1] ) {
			return $row[0];
		}
		if ( null !== $row ) {
			$this->rows( 'forget', 'ii', array( $this->outbox['blog_id'], $row[0] ) );
		}
		return null;
	}

	/** Somebody else stores the same mail, and took this one for given up. */
	private function stored_by_other( array $mail ) {
		$end = microtime( true ) + self::OTHER_S;
		do {
			$row = $this->find( $mail );
			if ( null === $row ) {
				throw new RuntimeException( 'the outbox forgot it while it was stored' );
			}
			if ( 'writing' !== $row[1] ) {
				return $row[0];
			}
			usleep( 50000 );
		} while ( microtime( true ) < $end );
		throw new RuntimeException( 'another run of its job has stored half of it', self::HALF );
	}

	/** array( id, state ), or null */
	private function find( array $mail ) {
		$statement = $this->execute( 'find', 'isis', array( $this->outbox['blog_id'], $mail['job'], $mail['ordinal'], $mail['digest'] ) );
		$id        = null;
		$state     = null;
		$stale     = null;
		mysqli_stmt_bind_result( $statement, $id, $state, $stale );
		$found = mysqli_stmt_fetch( $statement );
		$error = mysqli_stmt_errno( $statement );
		mysqli_stmt_free_result( $statement );
		if ( false === $found ) {
			throw self::failure( $error );
		}
		return $found ? array( (int) $id, (string) $state ) : null;
	}

	private function insert( array $mail ) {
		$recipients = array();
		foreach ( $mail['recipients'] as $to ) {
			$recipients[] = array( 'to' => $to, 'state' => 'open', 'code' => 0, 'words' => '' );
		}
		$statement = $this->execute(
			'insert',
			'iisisssssi',
			array(
				$this->outbox['blog_id'],
				$mail['priority'],
				$mail['job'],
				$mail['ordinal'],
				$mail['digest'],
				$mail['message_id'],
				$mail['sender'],
				json_encode( $recipients, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES ),
				$mail['subject'],
				'' === $this->key ? 0 : 1,
			)
		);
		return mysqli_stmt_insert_id( $statement );
	}

	/** False: the row is not ours any more. */
	private function insert_chunks( $id, array $mail ) {
		$size = $this->outbox['chunk'];
		$head = strlen( $mail['header'] );
		for ( $n = 0; $n * $size < $mail['size']; $n++ ) {
			$at    = $n * $size;
			$piece = $at < $head ? substr( $mail['header'], $at, $size ) : '';
			$more  = $size - strlen( $piece );
			if ( $more > 0 ) {
				$piece .= substr( $mail['body'], max( 0, $at - $head ), $more );
			}
			$piece = $this->seal( $piece, 'mail ' . $mail['job'] . ' ' . $mail['ordinal'] . ' ' . $n );
			if ( 1 !== $this->rows( 'insert_chunk', 'isii', array( $n, $piece, $this->outbox['blog_id'], $id ) ) ) {
				return false;
			}
		}
		return true;
	}

	/* ---- sealing ------------------------------------------------------- */

	private function read_key() {
		$file = $this->outbox['key_file'];
		if ( null === $file || '' !== $this->key ) {
			return;
		}
		$text = trim( (string) @file_get_contents( $file ) );
		if ( ! preg_match( '/^[0-9a-fA-F]{64}$/D', $text ) ) {
			throw new RuntimeException( 'PHP finds no 64 hexadecimal digits in outbox_key_file' );
		}
		if ( ! function_exists( 'openssl_encrypt' ) ) {
			throw new RuntimeException( 'PHP has no openssl extension to seal mails with' );
		}
		$this->key = hex2bin( $text );
	}

	/** As formats/seal.h opens it. */
	private function seal( $plain, $context ) {
		if ( '' === $this->key ) {
			return $plain;
		}
		$nonce  = random_bytes( self::NONCE );
		$tag    = '';
		$sealed = openssl_encrypt( $plain, 'aes-256-gcm', $this->key, OPENSSL_RAW_DATA, $nonce, $tag, $context, self::TAG );
		if ( false === $sealed ) {
			throw new RuntimeException( 'PHP could not seal it' );
		}
		return $nonce . $tag . $sealed;
	}

	/* ---- the connection ------------------------------------------------ */

	private static function failure( $number ) {
		// The server's own words may repeat values.
		return new RuntimeException( 'the outbox could not be written: database error ' . $number, $number );
	}

	private function rows( $name, $types, array $values ) {
		return mysqli_stmt_affected_rows( $this->execute( $name, $types, $values ) );
	}

	private function execute( $name, $types, array $values ) {
		if ( ! isset( $this->statements[ $name ] ) ) {
			$dbh       = $this->connection();
			$statement = @mysqli_prepare( $dbh, $this->outbox['store'][ $name ] );
			if ( ! $statement ) {
				throw self::failure( mysqli_errno( $dbh ) );
			}
			$this->statements[ $name ] = $statement;
		}
		$statement = $this->statements[ $name ];
		if ( ! @mysqli_stmt_bind_param( $statement, $types, ...$values ) || ! @mysqli_stmt_execute( $statement ) ) {
			throw self::failure( mysqli_stmt_errno( $statement ) );
		}
		return $statement;
	}

	private function close() {
		$this->statements = array();
		if ( $this->dbh ) {
			@mysqli_close( $this->dbh );
		}
		$this->dbh = null;
	}

	/** As wpdb::db_connect() makes it. */
	private function connection() {
		if ( $this->dbh ) {
			return $this->dbh;
		}
		list( $host, $port, $socket ) = self::place();

		$flags = defined( 'MYSQL_CLIENT_FLAGS' ) ? MYSQL_CLIENT_FLAGS : 0;
		$dbh   = mysqli_init();
		mysqli_options( $dbh, MYSQLI_OPT_CONNECT_TIMEOUT, self::CONNECT_S );
		if ( defined( 'MYSQLI_OPT_READ_TIMEOUT' ) ) {
			mysqli_options( $dbh, MYSQLI_OPT_READ_TIMEOUT, self::READ_S );
		}
		$set = "SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION autocommit = 1";
		if ( ! @mysqli_real_connect( $dbh, $host, DB_USER, DB_PASSWORD, DB_NAME, $port, $socket, $flags )
			|| ! @mysqli_set_charset( $dbh, 'binary' ) || ! @mysqli_query( $dbh, $set ) ) {
			$number = mysqli_connect_errno() ? mysqli_connect_errno() : mysqli_errno( $dbh );
			throw new RuntimeException( 'the outbox has no connection to the database: error ' . $number );
		}
		$this->dbh = $dbh;
		return $dbh;
	}

	/** array( host, port, socket ) of DB_HOST */
	private static function place() {
		global $wpdb;
		$parts = method_exists( $wpdb, 'parse_db_host' ) ? $wpdb->parse_db_host( DB_HOST ) : false;
		if ( ! $parts ) {
			return array( DB_HOST, null, null );
		}
		list( $host, $port, $socket, $is_ipv6 ) = $parts;
		if ( $is_ipv6 && extension_loaded( 'mysqlnd' ) ) {
			$host = "[$host]";
		}
		return array( $host, $port, $socket );
	}
}
