<?php
/**
 * Plugin Name: wp-cron-fcgi companion
 * Description: Merges changes that several processes make to the list of scheduled events at once, so that none of them is lost. Tells wp-cron-fcgi of Newspack's contacts that PHP pushed or deleted, and of tasks that plugins put into transients. Shows WordPress' privacy tools the mails that it keeps. Optional; does nothing else.
 * Version: 1.2
 * License: MIT
 *
 * A must-use plugin: wp-content/mu-plugins/wp-cron-fcgi-companion.php, where
 * `wp-cronctl companion install` puts it. To take it away, delete the file.
 *
 * WordPress keeps all events in one option, reads it when a request begins,
 * changes its copy and writes all of it back. Whoever writes last undoes what
 * others wrote since: their events vanish, and events that ran come back.
 * Here, just before WordPress writes, the option is read again from the
 * database, under a lock, and only this process' own change is made to it.
 * The write itself stays WordPress' own.
 *
 * Where the program keeps a publisher's contacts in step (Newspack), it
 * remembers what it handed over, so as not to do it again. What PHP pushes or
 * deletes meanwhile ends that memory here.
 * Where a plugin keeps a list of tasks in a transient and the program works
 * it off, what is added goes to the program at once: two processes that add
 * do not undo each other's.
 * Newspack stages readers on page loads. Where the program does that, too, by
 * its reader ping, wp-config.php may spare PHP the work:
 *   define( 'WPCRON_FCGI_STAGES_READERS', true );
 *
 * Mails that wait in the program's outbox, and those that it could not get rid
 * of, are a person's data: WordPress' tools to export and erase it find them.
 */

defined( 'ABSPATH' ) || exit;

// Not on databases where one lock and one newest row are not to be had: over
// several servers (HyperDB, LudicrousDB), or not MySQL's.
if ( defined( 'WPCRON_FCGI_COMPANION' ) || ! isset( $GLOBALS['wpdb'] )
	|| ! $GLOBALS['wpdb']->dbh instanceof mysqli || method_exists( $GLOBALS['wpdb'], 'add_database' ) ) {
	return;
}
define( 'WPCRON_FCGI_COMPANION', '1.2' );

final class WPCron_FCGI_Companion {
	/** In wp_schedule_single_event() two events this near are one. */
	const NEAR_S = 600;

	private static $lock;
	/** The option as this process would see it if it were alone. */
	private static $view;

	/** What is merged, timestamp => hook => key => event. */
	private $old, $new, $stored;

	public static function start() {
		self::$lock = new WPCron_FCGI_Companion_Lock( 'cron' );
		// Last, so that what other plugins make of the value is merged, too.
		add_filter( 'pre_update_option_cron', array( __CLASS__, 'before_write' ), PHP_INT_MAX, 2 );
		// First: others' callbacks may take their time.
		add_action( 'update_option_cron', array( __CLASS__, 'after_write' ), PHP_INT_MIN, 0 );
		add_action( 'add_option_cron', array( __CLASS__, 'after_write' ), PHP_INT_MIN, 0 );
	}

	/** What WordPress is to write in place of $new. */
	public static function before_write( $new, $old ) {
		self::$lock->release();
		self::$view = null;
		$text       = maybe_serialize( $new );
		$known      = maybe_serialize( $old );
		if ( $text === $known ) {
			return $new; // WordPress will not write.
		}
		self::$lock->take();
		$stored = self::stored();
		if ( null === $stored || $stored === $known ) {
			return $new; // Nobody else wrote.
		}
		$lists = array_map( array( __CLASS__, 'events' ), array( $old, $new, maybe_unserialize( $stored ) ) );
		if ( in_array( null, $lists, true ) ) {
			return $new;
		}
		self::$view = $text;
		return self::as_news( ( new self( ...$lists ) )->merged(), $stored );
	}

	/**
	 * Another process may have made the same change before. WordPress' UPDATE
	 * would then change nothing, and it takes that for an error: the event
	 * "could not be saved", though it is. Alone, the process would have had
	 * success, since its list differs from the stored one, and so it shall
	 * have. Hence the same list in other bytes: no reader looks further at
	 * `version` than whether it is there, and the next write has an int again.
	 */
	private static function as_news( array $list, $stored ) {
		$list['version'] = 2;
		if ( serialize( $list ) === $stored ) {
			$list['version'] = '2';
		}
		return $list;
	}

	/**
	 * WordPress has put the merged list into its cache. Events of others that
	 * appear or vanish in the midst of a request would be news to code that
	 * goes through a list it holds, as wp_clear_scheduled_hook() does; so the
	 * process goes on with what it knew, and what it changes later is again
	 * told from that. A shared cache must have what is true for all.
	 */
	public static function after_write() {
		self::$lock->release();
		if ( null !== self::$view && ! wp_using_ext_object_cache() ) {
			$all = wp_cache_get( 'alloptions', 'options' );
			if ( isset( $all['cron'] ) ) {
				$all['cron'] = self::$view;
				wp_cache_set( 'alloptions', $all, 'options' );
			} elseif ( false !== wp_cache_get( 'cron', 'options' ) ) {
				wp_cache_set( 'cron', self::$view, 'options' );
			}
		}
		self::$view = null;
	}

	/* ---- merging ------------------------------------------------------- */

	/** timestamp => hook => key => event; null for what is no such list. */
	private static function events( $value ) {
		if ( false === $value || '' === $value ) {
			return array();
		}
		if ( ! is_array( $value ) || ( $value && ! isset( $value['version'] ) ) ) {
			return null;
		}
		unset( $value['version'] );
		return $value;
	}

	private function __construct( array $old, array $new, array $stored ) {
		$this->old    = $old;
		$this->new    = $new;
		$this->stored = $stored;
	}

	/** What is stored, with the changes that lead from the old to the new. */
	private function merged() {
		$made   = $this->made();
		$gone   = $this->gone();
		$series = $this->series( array( $made, $gone ) );
		$merged = $this->stored;
		foreach ( self::slots( $this->stored ) as list( $time, $hook, $key, $event ) ) {
			$foreign = ! isset( $this->old[ $time ][ $hook ][ $key ] );
			if ( isset( $gone[ $hook ][ $key ][ $time ] )
				|| ( $foreign && self::is_recurring( $event ) && isset( $series[ $hook ][ $key ] ) )
				|| ( $foreign && self::is_duplicate( $time, $event, $made[ $hook ][ $key ] ?? array() ) ) ) {
				self::remove( $merged, $time, $hook, $key );
			}
		}
		foreach ( $made as $hook => $keys ) {
			foreach ( $keys as $key => $times ) {
				foreach ( $times as $time => $event ) {
					$merged[ $time ][ $hook ][ $key ] = $event;
				}
			}
		}
		uksort( $merged, 'strnatcasecmp' ); // As WordPress does.
		return $merged;
	}

	/** hook => key => timestamp => event, what this process has added or changed. */
	private function made() {
		$made = array();
		foreach ( self::slots( $this->new ) as list( $time, $hook, $key, $event ) ) {
			if ( ! self::same( $event, $this->old[ $time ][ $hook ][ $key ] ?? null )
				&& ! self::same( $event, $this->stored[ $time ][ $hook ][ $key ] ?? null )
				&& ! $this->follows_gone( $time, $hook, $key, $event ) ) {
				$made[ $hook ][ $key ][ $time ] = $event;
			}
		}
		return $made;
	}

	/** The same of what it has removed. */
	private function gone() {
		$gone = array();
		foreach ( self::slots( $this->old ) as list( $time, $hook, $key, $event ) ) {
			if ( ! isset( $this->new[ $time ][ $hook ][ $key ] ) ) {
				$gone[ $hook ][ $key ][ $time ] = $event;
			}
		}
		return $gone;
	}

	/**
	 * WordPress' runner gives a recurring event its next time and then removes
	 * it from the present one. If the present one is gone already, then another
	 * process has rescheduled the event, or cleared it for good.
	 */
	private function follows_gone( $time, $hook, $key, array $event ) {
		$interval = isset( $event['interval'] ) ? (int) $event['interval'] : 0;
		foreach ( $interval > 0 ? $this->new : array() as $before => $hooks ) {
			if ( isset( $hooks[ $hook ][ $key ], $this->old[ $before ][ $hook ][ $key ] )
				&& ! isset( $this->stored[ $before ][ $hook ][ $key ] )
				&& $before < $time && 0 === ( (int) $time - (int) $before ) % $interval ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * A hook with its arguments that gets its first recurring event, or loses
	 * its last, is meant as a whole: what other processes made of it meanwhile
	 * goes. Else two that each find none would leave two for ever, and one
	 * that was just rescheduled would survive its clearing.
	 */
	private function series( array $changes ) {
		$series = array();
		foreach ( $changes as $changed ) {
			foreach ( $changed as $hook => $keys ) {
				foreach ( $keys as $key => $times ) {
					if ( array_filter( $times, array( __CLASS__, 'is_recurring' ) )
						&& ! ( self::has( $this->old, $hook, $key ) && self::has( $this->new, $hook, $key ) ) ) {
						$series[ $hook ][ $key ] = true;
					}
				}
			}
		}
		return $series;
	}

	/** By WordPress' rule: had one process seen the other's, it had made none. */
	private static function is_duplicate( $time, $event, array $made ) {
		foreach ( self::is_recurring( $event ) ? array() : $made as $other => $its ) {
			if ( ! self::is_recurring( $its ) && abs( (int) $other - (int) $time ) <= self::NEAR_S ) {
				return true;
			}
		}
		return false;
	}

	private static function is_recurring( $event ) {
		return ! empty( $event['schedule'] );
	}

	private static function has( array $list, $hook, $key ) {
		foreach ( $list as $hooks ) {
			if ( isset( $hooks[ $hook ][ $key ] ) ) {
				return true;
			}
		}
		return false;
	}

	/** Objects in arguments are new ones each time the option is read. */
	private static function same( $a, $b ) {
		return $a === $b || serialize( $a ) === serialize( $b );
	}

	/** Each event of a list; what is not in its form is passed over. */
	private static function slots( array $list ) {
		foreach ( $list as $time => $hooks ) {
			foreach ( is_array( $hooks ) ? $hooks : array() as $hook => $keys ) {
				foreach ( is_array( $keys ) ? $keys : array() as $key => $event ) {
					if ( is_array( $event ) ) {
						yield array( $time, $hook, $key, $event );
					}
				}
			}
		}
	}

	private static function remove( array &$list, $time, $hook, $key ) {
		unset( $list[ $time ][ $hook ][ $key ] );
		if ( ! $list[ $time ][ $hook ] ) {
			unset( $list[ $time ][ $hook ] );
		}
		if ( ! $list[ $time ] ) {
			unset( $list[ $time ] );
		}
	}

	/* ---- the database -------------------------------------------------- */

	/**
	 * Newest, also in a transaction, which would else see its own past; and
	 * not before a transaction that has changed it ends.
	 */
	private static function stored() {
		global $wpdb;
		return self::value( "SELECT option_value FROM `$wpdb->options` WHERE option_name = 'cron' FOR UPDATE" );
	}

	/**
	 * The program computes the same name in the same way. Names are the whole
	 * server's, and of at most 64 characters. Of a transient: nobody else's.
	 */
	public static function name( $transient = null ) {
		global $wpdb;
		$of = null === $transient ? '' : ", x'" . bin2hex( "/$transient" ) . "'";
		return "CONCAT('wp-cron-fcgi/', LEFT(SHA2(CONCAT(DATABASE(), '/$wpdb->options'$of), 256), 40))";
	}

	/**
	 * First column of the first row, or null. Not through $wpdb's methods:
	 * its last_query, rows_affected, num_queries stay what WordPress made.
	 */
	public static function value( $sql ) {
		$result = self::run( $sql );
		$row    = $result ? mysqli_fetch_row( $result ) : null;
		return $row[0] ?? null;
	}

	/** As query(), on a new connection where it was lost. */
	public static function run( $sql ) {
		$result = self::query( $sql );
		if ( null === $result && $GLOBALS['wpdb']->check_connection( false ) ) {
			$result = self::query( $sql );
		}
		return $result;
	}

	/** The rows; false: no answer; null: the connection is lost. */
	public static function query( $sql ) {
		$dbh = $GLOBALS['wpdb']->dbh;
		try {
			$result = @mysqli_query( $dbh, $sql );
			$number = @mysqli_errno( $dbh );
		} catch ( Throwable $e ) {
			return false; // It is closed, or somebody has mysqli throw.
		}
		return 2006 === $number || 2013 === $number ? null : $result;
	}
}

/** Of an option, from the look at what is stored until WordPress has written. */
final class WPCron_FCGI_Companion_Lock {
	/** Seconds to wait for it; without it the window is milliseconds. */
	const WAIT_S = 2;

	private $end, $transient;
	/** SQL of its name while it is ours: the blog's that is switched to. */
	private $name;
	private $waited_in_vain = false, $update_sent = false;

	public function __construct( $option, $transient = null ) {
		$this->end       = "'$option'";
		$this->transient = $transient;
		add_action( 'shutdown', array( $this, 'release' ), PHP_INT_MAX, 0 );
	}

	/**
	 * A process that has changed the option in a transaction may wait here for
	 * one that waits for the end of that transaction. It does so only once.
	 */
	public function take() {
		$name = WPCron_FCGI_Companion::name( $this->transient );
		$wait = $this->waited_in_vain ? 0 : self::WAIT_S;
		if ( '1' === WPCron_FCGI_Companion::value( "SELECT GET_LOCK($name, $wait)" ) ) {
			$this->name = $name;
			add_filter( 'query', array( $this, 'before_query' ) );
		} else {
			$this->waited_in_vain = true;
		}
	}

	public function release() {
		if ( $this->name ) {
			remove_filter( 'query', array( $this, 'before_query' ) );
			WPCron_FCGI_Companion::query( "SELECT RELEASE_LOCK($this->name)" );
		}
		$this->name        = null;
		$this->update_sent = false;
	}

	/** No action tells that WordPress' UPDATE failed; the next query does. */
	public function before_query( $sql ) {
		if ( $this->update_sent ) {
			$this->release();
		}
		$this->update_sent = $this->name && substr( $sql, -strlen( $this->end ) ) === $this->end;
		return $sql;
	}
}

/** Contacts of Newspack, which the program pushes and PHP does, too. */
final class WPCron_FCGI_Companion_Contacts {
	const STAGING = array( 'Newspack\Reader_Activation\Integrations\Contact_Cron', 'maybe_enqueue_contact' );

	public static function start() {
		if ( defined( 'WPCRON_FCGI_STAGES_READERS' ) && WPCRON_FCGI_STAGES_READERS ) {
			// The callback is of priority 20.
			add_action( 'init', array( __CLASS__, 'leave_staging' ), 19, 0 );
		}
		add_action( 'newspack_newsletters_upsert', array( __CLASS__, 'after_upsert' ), 10, 2 );
		add_action( 'newspack_sync_contact_failed', array( __CLASS__, 'after_failure' ) );
		add_action( 'deleted_user', array( __CLASS__, 'after_deletion' ) );
		add_action( 'remove_user_from_blog', array( __CLASS__, 'after_removal' ), 10, 2 );
	}

	public static function leave_staging() {
		$priority = has_action( 'init', self::STAGING );
		if ( false !== $priority ) {
			remove_action( 'init', self::STAGING, $priority );
		}
	}

	/** PHP has sent something else than what the program remembers. */
	public static function after_upsert( $provider, $contact ) {
		self::forget_contact( $contact );
	}

	public static function after_failure( $failure ) {
		self::forget_contact( isset( $failure['contact'] ) ? $failure['contact'] : null );
	}

	/**
	 * Not what the worker pushes for the program, which knows of that itself;
	 * and a refusal by the provider is not undone by another push.
	 */
	private static function forget_contact( $contact ) {
		$user = ! empty( $contact['email'] ) && ! class_exists( 'WPCron_FCGI_Contacts', false )
			? get_user_by( 'email', $contact['email'] ) : false;
		if ( $user ) {
			self::forget( $user->ID, get_current_blog_id(), "state = 'accepted'" );
		}
	}

	/** In a network, from the blog; also from each, if from the network. */
	public static function after_deletion( $user ) {
		self::forget( $user, get_current_blog_id() );
	}

	public static function after_removal( $user, $blog ) {
		self::forget( $user, $blog );
	}

	/** The program makes its tables itself: without them nothing is there. */
	private static function forget( $user, $blog, $more = '1' ) {
		$table = $GLOBALS['wpdb']->base_prefix . 'wpcron_fingerprints';
		$blog  = (int) $blog;
		$user  = (int) $user;
		WPCron_FCGI_Companion::run( "DELETE FROM `$table` WHERE blog_id = $blog AND user_id = $user AND $more" );
	}
}

/** Mails in the program's outbox, for Tools, Export and Erase Personal Data. */
final class WPCron_FCGI_Companion_Mails {
	/** Mails that one call looks at. */
	const AT_ONCE  = 500;
	/** A longer mail's text is left out; it has files in it. */
	const TEXT_MAX = 200000;

	public static function start() {
		add_filter( 'wp_privacy_personal_data_exporters', array( __CLASS__, 'add_exporter' ) );
		add_filter( 'wp_privacy_personal_data_erasers', array( __CLASS__, 'add_eraser' ) );
	}

	public static function add_exporter( $exporters ) {
		$exporters['wp-cron-fcgi-mails'] = array(
			'exporter_friendly_name' => 'Mails kept by wp-cron-fcgi',
			'callback'               => array( __CLASS__, 'export' ),
		);
		return $exporters;
	}

	public static function add_eraser( $erasers ) {
		$erasers['wp-cron-fcgi-mails'] = array(
			'eraser_friendly_name' => 'Mails kept by wp-cron-fcgi',
			'callback'             => array( __CLASS__, 'erase' ),
		);
		return $erasers;
	}

	public static function export( $address, $page = 1 ) {
		$items = array();
		$mails = self::mails( $address, ( max( 1, (int) $page ) - 1 ) * self::AT_ONCE );
		foreach ( $mails as $mail ) {
			$known = self::known( $mail, $address );
			if ( null !== $known ) {
				$items[] = array(
					'group_id'    => 'wp-cron-fcgi-mails',
					'group_label' => 'Mails',
					'item_id'     => 'wp-cron-fcgi-mail-' . $mail['mail_id'],
					'data'        => $known,
				);
			}
		}
		return array( 'data' => $items, 'done' => count( $mails ) < self::AT_ONCE );
	}

	/** What is known of it; null: it is not to or from that address. */
	private static function known( array $mail, $address ) {
		$known = array(
			'Subject' => $mail['subject'],
			'Stored'  => $mail['created_at'],
			'State'   => $mail['state'],
		);
		$is    = 0 === strcasecmp( $mail['sender'], $address );
		if ( $is ) {
			$known['Sender'] = $mail['sender'];
		}
		foreach ( self::recipients( $mail ) as $one ) {
			if ( self::is( $one, $address ) ) {
				$is                   = true;
				$known['Recipient']   = $one['to'];
				$known['Mail server'] = trim( ( $one['code'] ?? 0 ? $one['code'] . ' ' : '' ) . ( $one['words'] ?? '' ) );
			}
		}
		$text = $is ? self::text( $mail ) : '';
		if ( '' !== $text ) {
			$known['Message'] = $text;
		}
		$data = array();
		foreach ( array_filter( $known, 'strlen' ) as $name => $value ) {
			$data[] = array( 'name' => $name, 'value' => esc_html( $value ) );
		}
		return $is ? $data : null;
	}

	/** As it is sent; "" where it is gone, sealed or long. */
	private static function text( array $mail ) {
		$text = '';
		if ( ! (int) $mail['sealed'] && $mail['size'] <= self::TEXT_MAX ) {
			$chunks = self::rows( 'SELECT bytes FROM `' . self::table( 'outbox_chunks' ) . '` WHERE ' . self::where( $mail ) . ' ORDER BY chunk' );
			$text   = implode( '', array_column( $chunks, 'bytes' ) );
		}
		return wp_check_invalid_utf8( $text, true );
	}

	/** As `wp-cronctl privacy erase`. */
	public static function erase( $address, $page = 1 ) {
		$removed  = 0;
		$retained = 0;
		$mails    = self::mails( $address, 0 );
		foreach ( $mails as $mail ) {
			$others = array();
			$is     = 0 === strcasecmp( $mail['sender'], $address );
			foreach ( self::recipients( $mail ) as $one ) {
				$is = $is || self::is( $one, $address );
				if ( ! self::is( $one, $address ) ) {
					$others[] = $one;
				}
			}
			if ( $is ) {
				$gone      = self::forget( $mail, $others );
				$removed  += $gone ? 1 : 0;
				$retained += $gone ? 0 : 1;
			}
		}
		return array(
			'items_removed'  => $removed > 0,
			'items_retained' => $retained > 0,
			'messages'       => $retained ? array( "$retained mail(s) are being sent just now. Please try again." ) : array(),
			// What stays would be found again.
			'done'           => 0 === $removed || count( $mails ) < self::AT_ONCE,
		);
	}

	/** False: it is being sent, or was changed meanwhile. */
	private static function forget( array $mail, array $others ) {
		$same  = self::where( $mail ) . " AND state <> 'sending' AND claim_id = 0 AND recipients = x'" . bin2hex( $mail['recipients'] ) . "'";
		$table = self::table( 'outbox' );
		if ( $others && in_array( $mail['state'], array( 'ready', 'later', 'held' ), true ) && in_array( 'open', array_column( $others, 'state' ), true ) ) {
			// The others still wait for it.
			$json = json_encode( $others, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES );
			return self::change( "UPDATE `$table` SET recipients = x'" . bin2hex( $json ) . "' WHERE $same AND state IN ('ready', 'later', 'held')" );
		}
		if ( ! self::change( "DELETE FROM `$table` WHERE $same" ) ) {
			return false;
		}
		self::change( 'DELETE FROM `' . self::table( 'outbox_chunks' ) . '` WHERE ' . self::where( $mail ) );
		self::change( 'DELETE FROM `' . self::table( 'dead_letters' ) . "` WHERE kind = 'mail' AND blog_id = " . get_current_blog_id() . ' AND source = ' . (int) $mail['mail_id'] );
		return true;
	}

	/** Of this blog, that have the address anywhere in them. */
	private static function mails( $address, $offset ) {
		$address = strtolower( (string) $address );
		if ( '' === $address ) {
			return array();
		}
		$dbh     = $GLOBALS['wpdb']->dbh;
		$pattern = mysqli_real_escape_string( $dbh, '%' . addcslashes( $address, '_%\\' ) . '%' );
		$sender  = mysqli_real_escape_string( $dbh, $address );
		return self::rows(
			'SELECT mail_id, state, sender, recipients, subject, size, sealed, created_at FROM `' . self::table( 'outbox' )
			. '` WHERE blog_id = ' . get_current_blog_id()
			. " AND (LOWER(CONVERT(recipients USING utf8mb4)) LIKE '$pattern' OR LOWER(CONVERT(sender USING utf8mb4)) = '$sender')"
			. ' ORDER BY mail_id LIMIT ' . self::AT_ONCE . ' OFFSET ' . (int) $offset
		);
	}

	private static function recipients( array $mail ) {
		$list = json_decode( $mail['recipients'], true );
		return array_filter( is_array( $list ) ? $list : array(), 'is_array' );
	}

	private static function is( array $recipient, $address ) {
		return isset( $recipient['to'] ) && 0 === strcasecmp( $recipient['to'], $address );
	}

	private static function where( array $mail ) {
		return 'blog_id = ' . get_current_blog_id() . ' AND mail_id = ' . (int) $mail['mail_id'];
	}

	private static function table( $name ) {
		return $GLOBALS['wpdb']->base_prefix . 'wpcron_' . $name;
	}

	/** The program makes its tables itself: without them nothing is there. */
	private static function rows( $sql ) {
		$result = WPCron_FCGI_Companion::run( $sql );
		return $result instanceof mysqli_result ? mysqli_fetch_all( $result, MYSQLI_ASSOC ) : array();
	}

	private static function change( $sql ) {
		return WPCron_FCGI_Companion::run( $sql ) && mysqli_affected_rows( $GLOBALS['wpdb']->dbh ) > 0;
	}
}

/**
 * Transients in which a plugin keeps a list of tasks. PHP reads the list,
 * appends and writes all of it, so that of two processes one undoes the other.
 * Here every process reads an empty list; so what it writes is new, and goes
 * into the program's table.
 */
final class WPCron_FCGI_Companion_Tasks {
	/** What the program works off, as it says; it knows nothing of a cache. */
	const NAMES  = 'wpcron_fcgi_task_queues';
	const LOOK_S = 30;
	/** No sign of life of any of its processes for so long. */
	const GONE_S = 900;
	/** What is stored in place of a list: this, its form, something unique. */
	const PLACEHOLDER = 'wpcron-fcgi:';

	private static $given   = 0;
	private static $reading = false;
	/** Of each of them: what one adds to a list none shall write away. */
	private static $locks = array();
	/** The site whose names these are, in a network. */
	private static $blog;
	/** Asked once, so that what a process reads and writes goes together. */
	private static $there;

	public static function start() {
		self::$blog = get_current_blog_id();
		foreach ( self::names() as $name ) {
			add_filter( "pre_transient_$name", array( __CLASS__, 'before_read' ), PHP_INT_MAX, 2 );
			add_filter( "pre_set_transient_$name", array( __CLASS__, 'before_write' ), PHP_INT_MAX, 3 );
			$lock = new WPCron_FCGI_Companion_Lock( "_transient_$name", $name );
			add_action( "set_transient_$name", array( $lock, 'release' ), PHP_INT_MIN, 0 );
			self::$locks[ $name ] = $lock;
		}
	}

	/** For who takes the list; null: it is not handed over. */
	public static function lock_of( $name ) {
		return self::$locks[ $name ] ?? null;
	}

	/** Autoloaded; behind an object cache only the database has the newest. */
	private static function names() {
		if ( ! wp_using_ext_object_cache() ) {
			$all = wp_load_alloptions();
			return isset( $all[ self::NAMES ] ) ? (array) maybe_unserialize( $all[ self::NAMES ] ) : array();
		}
		$names = wp_cache_get( self::NAMES, 'wpcron_fcgi' );
		if ( ! is_array( $names ) ) {
			$table  = $GLOBALS['wpdb']->options;
			$result = WPCron_FCGI_Companion::run( "SELECT option_value FROM `$table` WHERE option_name = '" . self::NAMES . "'" );
			$row    = $result ? mysqli_fetch_row( $result ) : null;
			$names  = $row ? (array) maybe_unserialize( $row[0] ) : array();
			wp_cache_set( self::NAMES, $names, 'wpcron_fcgi', self::LOOK_S );
		}
		return $names;
	}

	/** An empty list in the form that the plugin gives it; else what it stored. */
	public static function before_read( $value, $name ) {
		if ( self::$reading || get_current_blog_id() !== self::$blog || ! self::is_there() ) {
			return $value;
		}
		$stored = self::stored( $name );
		$form   = self::is_placeholder( $stored )
			? strtok( substr( $stored, strlen( self::PLACEHOLDER ) ), ':' ) : self::form( $stored );
		$empty  = array( 'a' => array(), 'j' => '[]', 'sa' => 'a:0:{}' );
		return isset( $empty[ $form ] ) ? $empty[ $form ] : $value;
	}

	private static function is_placeholder( $stored ) {
		return is_string( $stored ) && 0 === strpos( $stored, self::PLACEHOLDER );
	}

	/** Past the filter. */
	private static function stored( $name ) {
		self::$reading = true;
		$stored        = get_transient( $name );
		self::$reading = false;
		return $stored;
	}

	/** What is no list of tasks is the plugin's own affair. */
	public static function before_write( $value, $expiration, $name ) {
		$form = get_current_blog_id() === self::$blog && self::is_there() ? self::form( $value ) : '';
		if ( ! $form ) {
			return $value;
		}
		self::$locks[ $name ]->release();
		self::$locks[ $name ]->take();
		$stored = self::newest( $name );
		if ( $stored && ! self::is_placeholder( $stored ) && ! self::form( $stored ) ) {
			self::$locks[ $name ]->release();
			return $value; // What it read was all of that.
		}
		// The plugin has not seen what is stored: the program's placeholder, or
		// a list of processes that do not hand over, which it takes itself.
		$list = self::form( $stored ) === $form ? self::list_of( $stored, $form ) : null;
		if ( $list ) {
			return self::joined( $stored, $value, $form );
		}
		if ( ! self::give( $name, self::lists( $value, $form ) ) ) {
			return $value; // As without us.
		}
		// With the same value as before WordPress would not write, and say so.
		return self::PLACEHOLDER . $form . ':' . microtime( true ) . '-' . getmypid() . '-' . ++self::$given;
	}

	/** As others have it now: this process' copy is as old as its read. */
	private static function newest( $name ) {
		if ( wp_using_ext_object_cache() ) {
			return wp_cache_get( $name, 'transient', true );
		}
		$table  = $GLOBALS['wpdb']->options;
		$option = mysqli_real_escape_string( $GLOBALS['wpdb']->dbh, "_transient_$name" );
		$result = WPCron_FCGI_Companion::run( "SELECT option_value FROM `$table` WHERE option_name = '$option'" );
		$row    = $result ? mysqli_fetch_row( $result ) : null;
		return $row ? maybe_unserialize( $row[0] ) : false;
	}

	/** Byte by byte what is stored, and then the new: so a list is known again. */
	private static function joined( $stored, $value, $form ) {
		if ( 'a' === $form ) {
			return array_merge( $stored, $value );
		}
		if ( 'sa' === $form ) {
			return serialize( array_merge( maybe_unserialize( $stored ), maybe_unserialize( $value ) ) );
		}
		$more = trim( substr( trim( $value ), 1, -1 ) );
		return substr( rtrim( $stored ), 0, -1 ) . ( '' === $more ? '' : ",$more" ) . ']';
	}

	/**
	 * Nobody runs what is handed over where the program is gone: then it is as
	 * without us, and WordPress' own event works the transient off.
	 */
	private static function is_there() {
		if ( null === self::$there ) {
			$table       = $GLOBALS['wpdb']->base_prefix . 'wpcron_nodes';
			$result      = WPCron_FCGI_Companion::run( "SELECT 1 FROM `$table` WHERE heartbeat_at > UTC_TIMESTAMP(6) - INTERVAL " . self::GONE_S . ' SECOND LIMIT 1' );
			self::$there = $result && mysqli_fetch_row( $result );
		}
		return self::$there;
	}

	/** Of a list, of JSON, of a list in a text; or none of these. */
	private static function form( $value ) {
		if ( is_array( $value ) ) {
			$form = 'a';
		} elseif ( is_string( $value ) && '[' === substr( ltrim( $value ), 0, 1 ) ) {
			$form = 'j';
		} elseif ( is_string( $value ) && 0 === strpos( $value, 'a:' ) ) {
			$form = 'sa';
		} else {
			return '';
		}
		$list = self::list_of( $value, $form );
		$odd  = is_array( $list ) ? array_filter( array_keys( $list ), 'is_string' ) : true;
		return ! $odd && array_filter( $list, array( __CLASS__, 'is_task' ) ) === $list ? $form : '';
	}

	private static function list_of( $value, $form ) {
		if ( 'a' === $form ) {
			return $value;
		}
		return 'j' === $form ? json_decode( $value, true ) : maybe_unserialize( $value );
	}

	private static function is_task( $task ) {
		if ( is_string( $task ) ) {
			$task = json_decode( $task, true );
		}
		return is_array( $task ) && isset( $task['type'] ) && ( is_string( $task['type'] ) || is_int( $task['type'] ) );
	}

	/** A list of each task, so that none refers to another; or all as it is. */
	private static function lists( $value, $form ) {
		$lists = array();
		foreach ( 'a' === $form ? $value : array() as $task ) {
			$lists[] = serialize( array( $task ) );
		}
		return 'a' === $form ? $lists : array( maybe_serialize( $value ) );
	}

	/** The program makes tasks of them, in this order. */
	private static function give( $name, array $lists ) {
		$table = $GLOBALS['wpdb']->base_prefix . 'wpcron_tasks';
		$rows  = array();
		foreach ( $lists as $list ) {
			$rows[] = '(' . self::$blog . ', 0x' . bin2hex( $name ) . ", 'list', UTC_TIMESTAMP(6), 0x"
				. bin2hex( random_bytes( 32 ) ) . ', UTC_TIMESTAMP(6), 0x' . bin2hex( $list ) . ')';
		}
		return ! $rows || WPCron_FCGI_Companion::run(
			"INSERT INTO `$table` (blog_id, queue, state, available_at, snapshot, taken_at, element) VALUES "
			. implode( ', ', $rows )
		);
	}
}

WPCron_FCGI_Companion::start();
WPCron_FCGI_Companion_Contacts::start();
WPCron_FCGI_Companion_Tasks::start();
WPCron_FCGI_Companion_Mails::start();
